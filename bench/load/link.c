/* epoll, edge-triggered, and OpenSSL. All links read into one buffer: only what is not whole is kept by each. */
#define _GNU_SOURCE
#include "link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 1 << 20, EVENTS = 512, SOURCES = 200 };

int64_t read_ns;
static int epoll;
static SSL_CTX *context;
static struct sockaddr_in server;
static char buffer[BUFFER];
static uint32_t mask_state = 0x9e3779b9;

_Noreturn void fail(const char *why) {
    fprintf(stderr, "load: %s%s%s\n", why, errno ? ": " : "", errno ? strerror(errno) : "");
    exit(1);
}

int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

void links_begin(int port) {
    epoll = epoll_create1(EPOLL_CLOEXEC);
    context = SSL_CTX_new(TLS_client_method());
    if (epoll < 0 || !context) fail("cannot begin");
    SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, 128 * 1024);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    server.sin_family = AF_INET;
    server.sin_port = htons(port);
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
}

void link_open(struct link *link) {
    static int sources;
    /* Each source address has its own ports: those that were used lately cannot be used again for a minute. */
    struct sockaddr_in source = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000002 + sources++ % SOURCES)};
    int one = 1;
    link->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (link->fd < 0) fail("no more sockets");
    setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(link->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(link->fd, (struct sockaddr *)&source, sizeof source)) fail("cannot bind a loopback address");
    if (connect(link->fd, (struct sockaddr *)&server, sizeof server) && errno != EINPROGRESS) fail("cannot connect");
    errno = 0;
    link->ssl = SSL_new(context);
    SSL_set_fd(link->ssl, link->fd);
    SSL_set_tlsext_host_name(link->ssl, "localhost");
    SSL_set_connect_state(link->ssl);
    link->state = CONNECTING;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = link};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, link->fd, &event)) fail("epoll");
}

void link_shut(struct link *link) {
    if (link->state == SHUT) return;
    SSL_free(link->ssl);
    close(link->fd);
    free(link->rest);
    free(link->out);
    *link = (struct link){.fd = -1, .number = link->number, .state = SHUT, .deaf = link->deaf};
}

static void lost(struct link *link, const char *why) {
    link_shut(link);
    on_lost(link, why);
}

void link_send(struct link *link, const char *bytes, size_t size) {
    if (link->out_size + size > link->out_room) {
        link->out_room = 2 * (link->out_size + size);
        if (!(link->out = realloc(link->out, link->out_room))) fail("no memory");
    }
    memcpy(link->out + link->out_size, bytes, size);
    link->out_size += size;
}

void link_say(struct link *link, int opcode, const char *payload, size_t size) {
    uint8_t head[8] = {0x80 | opcode, 0x80 | (size < 126 ? size : 126), size >> 8, size};
    size_t used = size < 126 ? 2 : 4;
    mask_state = mask_state * 1664525 + 1013904223;
    memcpy(head + used, &mask_state, 4);
    link_send(link, (char *)head, used + 4);
    link_send(link, payload, size);
    for (size_t i = 0; i < size; i++) link->out[link->out_size - size + i] ^= head[used + i % 4];
}

void link_flush(struct link *link) {
    while (link->state >= HTTP && link->out_done < link->out_size) {
        int n = SSL_write(link->ssl, link->out + link->out_done, link->out_size - link->out_done);
        if (n <= 0) {
            if (SSL_get_error(link->ssl, n) != SSL_ERROR_WANT_WRITE) ERR_clear_error(); /* the reading side will tell */
            return;
        }
        link->out_done += n;
    }
    if (link->out_done == link->out_size) {
        link->out_done = link->out_size = 0;
        if (link->out_room > 4096) {
            free(link->out);
            link->out = NULL;
            link->out_room = 0;
        }
    }
}

/* Each takes what is whole, and says how much that was; 0 for nothing yet. */

static size_t take_answer(struct link *link, const char *data, size_t size) {
    const char *end = memmem(data, size, "\r\n\r\n", 4);
    if (!end) return 0;
    size_t head = end + 4 - data, body = 0;
    char text[8192];
    if (head >= sizeof text) fail("an HTTP head is too long");
    memcpy(text, data, head);
    text[head] = 0;
    const char *length = strcasestr(text, "\r\ncontent-length:");
    int status = atoi(text + 9);
    if (length) body = strtoul(length + 17, NULL, 10);
    if (size < head + body) return 0;
    if (status == 101) link->state = WEBSOCKET;
    const char *connection = strcasestr(text, "\r\nconnection: close");
    on_answer(link, status, data + head, body, connection != NULL);
    return head + body;
}

static size_t take_frame(struct link *link, const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    size_t head = 2, length = data[1];
    if (length == 126) {
        if (size < 4) return 0;
        head = 4, length = data[2] << 8 | data[3];
    } else if (length == 127) {
        if (size < 10) return 0;
        head = 10, length = 0;
        for (int i = 2; i < 10; i++) length = length << 8 | data[i];
    }
    if (length > BUFFER / 2 || data[1] & 0x80) fail("not a frame that a server may send");
    if (size < head + length) return 0;
    switch (data[0]) {
    case 0x81:
        on_text(link, (const char *)data + head, length);
        break;
    case 0x88:
        lost(link, "a Close frame");
        break;
    case 0x89:
        link_say(link, 10, (const char *)data + head, length);
        link_flush(link);
        break;
    case 0x8a:
        break;
    default:
        fail("a frame of another kind");
    }
    return head + length;
}

static size_t take(struct link *link, size_t size) {
    size_t done = 0;
    while (link->state >= HTTP && done < size) {
        size_t taken = link->state == HTTP ? take_answer(link, buffer + done, size - done)
                                           : take_frame(link, (uint8_t *)buffer + done, size - done);
        if (!taken) break;
        done += taken;
    }
    return done;
}

static void read_all(struct link *link) {
    for (;;) {
        size_t kept = link->rest_size;
        if (kept) memcpy(buffer, link->rest, kept);
        int n = SSL_read(link->ssl, buffer + kept, BUFFER - kept);
        if (n <= 0) {
            int error = SSL_get_error(link->ssl, n);
            ERR_clear_error();
            if (error == SSL_ERROR_WANT_READ) break;
            lost(link, error == SSL_ERROR_ZERO_RETURN ? "closed" : "broken");
            return;
        }
        read_ns = now_ns();
        size_t size = kept + n, done = take(link, size);
        if (link->state == SHUT) return;
        free(link->rest);
        link->rest = NULL;
        link->rest_size = size - done;
        if (size > done) {
            if (!(link->rest = malloc(size - done))) fail("no memory");
            memcpy(link->rest, buffer + done, size - done);
        }
    }
    on_read(link);
}

static void advance(struct link *link, uint32_t events) {
    if (link->state == SHUT) return; /* since this batch began */
    if (link->state == CONNECTING) {
        if (events & (EPOLLERR | EPOLLHUP)) {
            lost(link, "refused");
            return;
        }
        if (!(events & EPOLLOUT)) return;
        link->state = HANDSHAKE;
    }
    if (link->state == HANDSHAKE) {
        int done = SSL_do_handshake(link->ssl);
        if (done != 1) {
            int error = SSL_get_error(link->ssl, done);
            ERR_clear_error();
            if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) lost(link, "the TLS handshake failed");
            return;
        }
        link->state = HTTP;
        on_ready(link);
    }
    if (link->state != SHUT) link_flush(link);
    if (link->state != SHUT && !link->deaf) read_all(link);
}

void links_wait(int64_t until_ns) {
    struct epoll_event events[EVENTS];
    int64_t left = until_ns - now_ns();
    if (left < 0) left = 0;
    struct timespec timeout = {left / 1000000000, left % 1000000000};
    int n = epoll_pwait2(epoll, events, EVENTS, &timeout, NULL);
    if (n < 0 && errno != EINTR) fail("epoll");
    errno = 0;
    for (int i = 0; i < n; i++) advance(events[i].data.ptr, events[i].events);
}
