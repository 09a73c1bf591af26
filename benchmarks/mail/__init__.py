"""The mail protocols on real servers, direct and over a slow line, against the other clients there are."""
