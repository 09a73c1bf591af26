/* The limit: what only the kernel (and OpenSSL) costs. One thread, loopback only.
 *
 *   limit serve [PEM]    an echo server on epoll; prints its port and its process
 *   limit pour BYTES     sends BYTES to whoever comes; prints the same
 */
#define _GNU_SOURCE
#include "common.h"

struct client {
  int fd;
  SSL *tls;
};

static int listening(void) {
  struct sockaddr_in address = {.sin_family = AF_INET};
  socklen_t length = sizeof address;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 1024) < 0) die("listen");
  getsockname(fd, (struct sockaddr *)&address, &length);
  printf("%d %d\n", ntohs(address.sin_port), getpid());
  fflush(stdout);
  return fd;
}

static void leave(struct client *c) {
  if (c->tls) SSL_free(c->tls);
  close(c->fd);
  free(c);
}

static void welcome(int listener, SSL_CTX *context) {
  int fd;
  while ((fd = accept4(listener, NULL, NULL, 0)) >= 0) {
    struct client *c = calloc(1, sizeof *c);
    c->fd = fd;
    no_delay(fd);
    if (context) {
      c->tls = SSL_new(context);
      SSL_set_fd(c->tls, fd);
      if (SSL_accept(c->tls) != 1) { /* waits: the generator opens its connections one by one */
        leave(c);
        continue;
      }
    }
    watch(fd, c, EPOLLIN, EPOLL_CTL_ADD);
  }
}

/* Sends whole chunks and waits where it must: the generator takes them. */
static void answer(struct client *c) {
  do {
    ssize_t n = get(c->fd, c->tls, sink, 65536);
    if (n <= 0) {
      leave(c);
      return;
    }
    for (ssize_t at = 0; at < n;) {
      ssize_t sent = put(c->fd, c->tls, sink + at, n - at);
      if (sent <= 0) break;
      at += sent;
    }
  } while (c->tls && SSL_pending(c->tls));
}

static void serve(const char *pem) {
  struct epoll_event events[MAX_EVENTS];
  SSL_CTX *context = NULL;
  if (pem) {
    context = SSL_CTX_new(TLS_server_method());
    if (SSL_CTX_use_certificate_chain_file(context, pem) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, pem, FILETYPE_PEM) != 1)
      die(pem);
  }
  int listener = listening();
  fcntl(listener, F_SETFL, O_NONBLOCK);
  watch(listener, NULL, EPOLLIN, EPOLL_CTL_ADD);
  for (;;) {
    int count = epoll_wait(poller, events, MAX_EVENTS, -1);
    for (int i = 0; i < count; i++) {
      if (events[i].data.ptr)
        answer(events[i].data.ptr);
      else
        welcome(listener, context);
    }
  }
}

static void pour(size_t size) {
  char *bytes = pattern(PERIOD + CHUNK);
  int listener = listening();
  for (;;) {
    int fd = accept(listener, NULL, NULL);
    if (fd < 0) die("accept");
    for (size_t sent = 0; sent < size;) {
      size_t left = size - sent;
      ssize_t n = send(fd, bytes + sent % PERIOD, left < CHUNK ? left : CHUNK, MSG_NOSIGNAL);
      if (n <= 0) break;
      sent += n;
    }
    close(fd);
  }
}

int main(int argc, char **argv) {
  begin_process();
  if (argc >= 2 && !strcmp(argv[1], "serve")) serve(argc > 2 ? argv[2] : NULL);
  if (argc == 3 && !strcmp(argv[1], "pour")) pour(strtoull(argv[2], NULL, 10));
  fprintf(stderr, "usage: limit serve [PEM] | limit pour BYTES\n");
  return 2;
}
