/* What the load generator and the limit share: a clock, an epoll, a pattern of bytes, and TLS.
 *
 * TLS is OpenSSL's; the few functions are declared here, so that the library alone is needed and no headers.
 */
#ifndef COMMON_H
#define COMMON_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_EVENTS 1024
#define CHUNK (1 << 18)

/* Prime, so that no size of buffer divides it: a byte in a wrong place is a wrong byte. */
#define PERIOD 65521

typedef struct ssl_ctx_st SSL_CTX;
typedef struct ssl_st SSL;
extern const void *TLS_client_method(void), *TLS_server_method(void);
extern SSL_CTX *SSL_CTX_new(const void *);
extern int SSL_CTX_use_certificate_chain_file(SSL_CTX *, const char *);
extern int SSL_CTX_use_PrivateKey_file(SSL_CTX *, const char *, int);
extern long SSL_CTX_ctrl(SSL_CTX *, int, long, void *);
extern SSL *SSL_new(SSL_CTX *);
extern void SSL_free(SSL *);
extern int SSL_set_fd(SSL *, int), SSL_connect(SSL *), SSL_accept(SSL *), SSL_shutdown(SSL *);
extern int SSL_read(SSL *, void *, int), SSL_write(SSL *, const void *, int), SSL_pending(const SSL *);
extern int SSL_get_error(const SSL *, int);
enum { FILETYPE_PEM = 1, ERROR_WANT_READ = 2, ERROR_WANT_WRITE = 3, ERROR_ZERO_RETURN = 6, CTRL_MODE = 33 };
enum { MODE_PARTIAL_WRITE = 1, MODE_MOVING_BUFFER = 2 };

static int poller;
static char *sink;

static inline double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static inline void die(const char *what) {
  perror(what);
  exit(1);
}

static inline void watch(int fd, void *owner, unsigned events, int operation) {
  struct epoll_event event = {.events = events, .data.ptr = owner};
  if (epoll_ctl(poller, operation, fd, &event) < 0) die("epoll_ctl");
}

/* Bytes that look like chance and are the same everywhere; receivers.py makes them too. */
static inline char *pattern(size_t size) {
  char *bytes = malloc(size);
  unsigned x = 1;
  for (size_t i = 0; i < size; i++) {
    if (i % PERIOD == 0) x = 1;
    x = x * 1103515245u + 12345u;
    bytes[i] = x >> 16;
  }
  return bytes;
}

static inline void begin_process(void) {
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  signal(SIGPIPE, SIG_IGN);
  sink = malloc(CHUNK);
  poller = epoll_create1(0);
}

static inline void no_delay(int fd) {
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

/* As recv(2) and send(2), over TLS where there is one: a number of bytes, 0 at the end, -1 with errno. */
static inline ssize_t outcome(SSL *tls, int n) {
  if (n > 0) return n;
  int error = SSL_get_error(tls, n);
  if (error == ERROR_ZERO_RETURN) return 0;
  errno = error == ERROR_WANT_READ || error == ERROR_WANT_WRITE ? EAGAIN : EPROTO;
  return -1;
}

static inline ssize_t get(int fd, SSL *tls, void *bytes, size_t size) {
  return tls ? outcome(tls, SSL_read(tls, bytes, size)) : recv(fd, bytes, size, 0);
}

static inline ssize_t put(int fd, SSL *tls, const void *bytes, size_t size) {
  return tls ? outcome(tls, SSL_write(tls, bytes, size)) : send(fd, bytes, size, MSG_NOSIGNAL);
}

#endif
