"""The lab's IMAP server: IMAP4rev1 and rev2 with what real servers have beside them, on the lab's store.

Its parts are pure but for `incoming` and the commands: `command` and `arguments` read, `mime`, `header`, `addresses`,
`structure` and `section` know messages, `view` knows what a client was told, `session` puts them together. Nothing here
knows the client wing: a judge does not borrow the tools of the accused.
"""
