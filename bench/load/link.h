/* One connection to a server: TCP, TLS, HTTP, then a WebSocket. Nothing in it waits. */
#ifndef LINK_H
#define LINK_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum state { SHUT, CONNECTING, HANDSHAKE, HTTP, WEBSOCKET };

struct link {
    int fd;
    int number; /* the user's */
    enum state state;
    bool deaf; /* read nothing */
    SSL *ssl;
    char *rest; /* the beginning of what is not whole yet */
    size_t rest_size;
    char *out; /* what the socket has not taken */
    size_t out_size, out_room, out_done;
};

/* What a scenario does with what happens. An answer's body may be empty; `closing`: the server will hang up. */
extern void on_ready(struct link *link); /* the TLS handshake is done: say something in HTTP */
extern void on_answer(struct link *link, int status, const char *body, size_t size, bool closing);
extern void on_text(struct link *link, const char *text, size_t size);
extern void on_read(struct link *link); /* all that has come is handed on */
extern void on_lost(struct link *link, const char *why);

void links_begin(int port); /* before all else */
void links_wait(int64_t until_ns); /* handle what happens until then at the latest; returns after each batch */
void link_open(struct link *link);
void link_shut(struct link *link);
void link_send(struct link *link, const char *bytes, size_t size); /* queue bytes as they are */
void link_say(struct link *link, int opcode, const char *payload, size_t size); /* queue a masked frame */
void link_flush(struct link *link);

int64_t now_ns(void); /* monotonic */
_Noreturn void fail(const char *why);

extern int64_t read_ns; /* when the bytes that are being handed on were read */

#endif
