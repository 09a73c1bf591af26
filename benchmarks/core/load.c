/* The load generator: one thread, epoll, loopback only; it checks every byte that comes back.
 *
 *   load echo  PORT CONNECTIONS BYTES REQUESTS [tls]       every connection sends BYTES, waits for them all, and again
 *   load churn PORT CONNECTIONS BYTES REQUESTS             the same, with a connection for each exchange
 *   load pace  PORT CONNECTIONS BYTES SECONDS GAP [tls]    as echo, for so long, with GAP ms between reply and request
 *   load knock PORT BYTES SECONDS GAP [tls]                connect, exchange, close, then GAP ms; one at a time
 *   load idle  PORT CONNECTIONS                            open so many; each line of input makes all exchange 64 bytes
 *   load drain PORT BYTES                                  receive BYTES: the limit of a client
 *
 * Each says "ready" when it is connected (echo and pace: after one exchange on each connection), and begins when a line
 * comes in. At the end: requests seconds p50_us p99_us max_us failures.
 */
#define _GNU_SOURCE
#include "common.h"

#define SAMPLES 2000000
#define PATIENCE_MS 30000

struct client {
  int fd, number, waits_for_room, closing;
  SSL *tls;
  const char *message;
  size_t sent, received;
  double began;
  struct client *next;
};

static int port, connections, churning, forgiving;
static size_t size;
static long requests, begun, done, failures, sampled;
static double *samples, gap, lasting, until; /* seconds; without a gap the requests are counted */
static char *bytes;
static SSL_CTX *context;
static struct client *resting, *last_resting; /* in the order in which they wake: all rest for the same time */

static void fail(const char *what, int number) {
  if (!forgiving) {
    fprintf(stderr, "%s, connection %d, after %ld replies: %s\n", what, number, done, strerror(errno));
    exit(1);
  }
  failures++;
}

static int dial(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0) die("socket");
  no_delay(fd);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
  close(fd);
  return -1;
}

/* Connect, with TLS; the socket blocks still. */
static int open_client(struct client *c) {
  c->closing = c->waits_for_room = 0;
  c->tls = NULL;
  c->fd = dial();
  if (c->fd < 0) return 0;
  if (context) {
    c->tls = SSL_new(context);
    SSL_set_fd(c->tls, c->fd);
    if (SSL_connect(c->tls) != 1) return 0;
  }
  return 1;
}

static void close_client(struct client *c) {
  if (c->tls) {
    SSL_shutdown(c->tls);
    SSL_free(c->tls);
    c->tls = NULL;
  }
  if (c->fd >= 0) close(c->fd);
  c->fd = -1;
}

/* Another part of the pattern each time: an old reply, or another's, is a wrong one. */
static void choose(struct client *c) {
  c->message = bytes + (c->number * 8191u + begun * 131u) % PERIOD;
  c->sent = c->received = 0;
}

/* One exchange on a socket that blocks. */
static int exchange(struct client *c) {
  choose(c);
  while (c->sent < size) {
    ssize_t n = put(c->fd, c->tls, c->message + c->sent, size - c->sent);
    if (n <= 0) return 0;
    c->sent += n;
  }
  while (c->received < size) {
    ssize_t n = get(c->fd, c->tls, sink, size - c->received < CHUNK ? size - c->received : CHUNK);
    if (n <= 0) return 0;
    if (memcmp(sink, c->message + c->received, n)) {
      fprintf(stderr, "wrong bytes\n");
      exit(1);
    }
    c->received += n;
  }
  return 1;
}

static void ready(void) {
  char line[16];
  printf("ready\n");
  fflush(stdout);
  if (!fgets(line, sizeof line, stdin)) exit(0);
}

static int by_value(const void *a, const void *b) {
  double d = *(double *)a - *(double *)b;
  return d < 0 ? -1 : d > 0;
}

static void tell(double seconds) {
  qsort(samples, sampled, sizeof *samples, by_value);
  double p50 = sampled ? samples[sampled / 2] : 0, p99 = sampled ? samples[(long)(sampled * 0.99)] : 0;
  double most = sampled ? samples[sampled - 1] : 0;
  printf("%ld %.6f %.1f %.1f %.1f %ld\n", done, seconds, p50 * 1e6, p99 * 1e6, most * 1e6, failures);
  fflush(stdout);
}

/* The turn of one client after another, on sockets that do not block. */

static void lost(struct client *c, const char *what) {
  fail(what, c->number);
  close_client(c);
}

/* Send what is left; watch for room only where there is none. */
static void push(struct client *c) {
  while (c->sent < size) {
    ssize_t n = put(c->fd, c->tls, c->message + c->sent, size - c->sent);
    if (n < 0 && errno == EAGAIN) {
      if (!c->waits_for_room) watch(c->fd, c, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
      c->waits_for_room = 1;
      return;
    }
    if (n <= 0) {
      lost(c, "send");
      return;
    }
    c->sent += n;
  }
  if (c->waits_for_room) watch(c->fd, c, EPOLLIN, EPOLL_CTL_MOD);
  c->waits_for_room = 0;
}

static void start(struct client *c) {
  if (begun >= requests) return;
  c->began = now();
  if (churning) {
    if (!open_client(c)) {
      lost(c, "connect");
      return;
    }
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    watch(c->fd, c, EPOLLIN, EPOLL_CTL_ADD);
  }
  begun++;
  choose(c);
  push(c);
}

static void rest(struct client *c) {
  c->next = NULL;
  if (resting)
    last_resting->next = c;
  else
    resting = c;
  last_resting = c;
}

static void ended(struct client *c) {
  double moment = now();
  if (sampled < SAMPLES) samples[sampled++] = moment - c->began;
  done++;
  c->began = moment;
  if (churning) {
    c->closing = 1;
    shutdown(c->fd, SHUT_WR);
  } else if (gap > 0) {
    rest(c);
  } else {
    start(c);
  }
}

/* Take what is there. Under TLS until there is no more: epoll does not see what OpenSSL holds. */
static void pull(struct client *c) {
  do {
    ssize_t n = get(c->fd, c->tls, sink, CHUNK);
    if (n < 0 && errno == EAGAIN) return;
    if (c->closing) {
      close_client(c);
      if (n) fail("more than was sent", c->number);
      start(c);
      return;
    }
    if (n <= 0) {
      lost(c, "recv");
      return;
    }
    if (c->received + n > size || memcmp(sink, c->message + c->received, n)) {
      fprintf(stderr, "wrong bytes\n");
      exit(1);
    }
    c->received += n;
    if (c->received == size) ended(c);
  } while (c->tls && c->fd >= 0);
}

static void wake(double moment) {
  while (resting && resting->began + gap <= moment) {
    struct client *c = resting;
    resting = c->next;
    start(c);
  }
}

static int wait_ms(void) {
  double moment = now(), next = moment + PATIENCE_MS / 1000;
  if (resting && resting->began + gap < next) next = resting->began + gap;
  if (gap > 0 && until < next) next = until;
  return next <= moment ? 0 : (int)((next - moment) * 1000) + 1;
}

static void run(void) {
  struct client *clients = calloc(connections, sizeof *clients);
  struct epoll_event events[MAX_EVENTS];
  for (int i = 0; i < connections; i++) {
    clients[i].number = i;
    if (churning) continue;
    if (!open_client(&clients[i]) || !exchange(&clients[i])) die("connect");
    fcntl(clients[i].fd, F_SETFL, O_NONBLOCK);
    watch(clients[i].fd, &clients[i], EPOLLIN, EPOLL_CTL_ADD);
  }
  ready();
  double began = now();
  until = began + lasting;
  for (int i = 0; i < connections; i++) start(&clients[i]);
  while (done < requests && (gap == 0 || now() < until)) {
    int count = epoll_wait(poller, events, MAX_EVENTS, wait_ms());
    if (count < 0) die("epoll_wait");
    if (count == 0 && gap == 0) {
      fprintf(stderr, "the server stalls after %ld replies\n", done);
      exit(1);
    }
    for (int i = 0; i < count; i++) {
      struct client *c = events[i].data.ptr;
      if (c->fd >= 0 && events[i].events & EPOLLOUT) push(c);
      if (c->fd >= 0 && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) pull(c);
    }
    if (gap > 0) wake(now());
  }
  double end = now();
  /* What is under way counts too: a reply that never comes would otherwise be none. */
  for (int i = 0; gap > 0 && i < connections; i++) {
    if (clients[i].fd >= 0 && clients[i].received < size && end - clients[i].began > 0.05) {
      samples[sampled++] = end - clients[i].began;
    }
  }
  tell(end - began);
}

static void knock(void) {
  ready();
  double began = now();
  for (int i = 0; now() < began + lasting; i++) {
    struct client c = {.number = i, .fd = -1, .began = now()};
    if (open_client(&c) && exchange(&c)) {
      done++;
    } else {
      fail("knock", i);
    }
    if (sampled < SAMPLES) samples[sampled++] = now() - c.began;
    close_client(&c);
    usleep(gap * 1e6);
  }
  tell(now() - began);
}

static void hold(void) {
  char line[16];
  struct client *clients = calloc(connections, sizeof *clients);
  size = 64;
  bytes = pattern(PERIOD + size);
  for (int i = 0; i < connections; i++) {
    clients[i].number = i;
    if (!open_client(&clients[i])) die("connect");
  }
  printf("ready\n");
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    for (int i = 0; i < connections; i++) {
      if (!exchange(&clients[i])) die("exchange");
    }
    printf("%d\n", connections);
    fflush(stdout);
  }
}

static double spent(void) {
  struct timespec cpu;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
  return cpu.tv_sec + cpu.tv_nsec / 1e9;
}

/* Prints: bytes seconds cpu_seconds. */
static void drain(size_t wanted) {
  size_t received = 0;
  ssize_t n;
  ready();
  double began = now(), before = spent();
  int fd = dial();
  if (fd < 0) die("connect");
  while ((n = recv(fd, sink, 65536, 0)) > 0) received += n;
  printf("%zu %.6f %.6f\n", received, now() - began, spent() - before);
  if (received != wanted) {
    fprintf(stderr, "not all came\n");
    exit(1);
  }
}

int main(int argc, char **argv) {
  begin_process();
  samples = malloc(SAMPLES * sizeof *samples);
  if (argc < 4) {
    fprintf(stderr, "usage: load echo|churn|pace|knock|idle|drain PORT ...; see load.c\n");
    return 2;
  }
  const char *mode = argv[1];
  port = atoi(argv[2]);
  if (!strcmp(argv[argc - 1], "tls")) {
    context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_ctrl(context, CTRL_MODE, MODE_PARTIAL_WRITE | MODE_MOVING_BUFFER, NULL);
    argc--;
  }
  if (!strcmp(mode, "idle")) {
    connections = atoi(argv[3]);
    hold();
    return 0;
  }
  if (!strcmp(mode, "drain")) {
    drain(strtoull(argv[3], NULL, 10));
    return 0;
  }
  int knocking = !strcmp(mode, "knock"), pacing = !strcmp(mode, "pace");
  if (argc != 6 + pacing) return 2;
  churning = !strcmp(mode, "churn");
  forgiving = knocking || pacing;
  connections = knocking ? 1 : atoi(argv[3]);
  size = strtoull(argv[3 + !knocking], NULL, 10);
  bytes = pattern(PERIOD + size);
  requests = forgiving ? 1L << 62 : atol(argv[5]);
  if (forgiving) {
    lasting = atof(argv[4 + pacing]);
    gap = atof(argv[5 + pacing]) / 1e3;
    if (gap <= 0) return 2;
  }
  if (knocking)
    knock();
  else
    run();
  return 0;
}
