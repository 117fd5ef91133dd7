/* The load of the benchmarks: signs people in, opens their WebSockets, and verifies what it measures.
 *
 *   load room    ...  people in rooms talk; every delivery has to come once, in its sender's order and in one order for the
 *                     whole room, and none may be missing
 *   load idle    ...  open the sessions, say so, hold them until standard input ends
 *   load storm   ...  connect (full TLS handshakes), upgrade, close, again
 *   load sign-in ...  ask for tokens over connections that are kept alive
 *
 * One line of JSON on standard output says what was found. `load` without arguments lists the options.
 */
#define _GNU_SOURCE
#include "link.h"
#include "measure.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { AT_ONCE = 64, SIGN_INS = 8, TEXT = 4096, STAMP = 1 + 5 + 9 + 16, FLIGHT = 65536 };

/* Options. */
static int port, pid, users = 100, rooms = 1, senders = 10, window = 1, size = 64, at_once = AT_ONCE, mark;
static double rate, seconds = 5, warm = 1, patience = 10;
static bool json;
static const char *scenario;

static struct option_row { const char *name; int *number; double *real; const char *help; } options[] = {
    {"port", &port, NULL, "of the server, on loopback"},
    {"pid", &pid, NULL, "the server's process, whose CPU time is counted"},
    {"users", &users, NULL, "people, one session each (storm: handshakes at a time; sign-in: connections)"},
    {"rooms", &rooms, NULL, "rooms that they are spread over"},
    {"senders", &senders, NULL, "how many of them talk"},
    {"window", &window, NULL, "messages that each of them has under way"},
    {"rate", NULL, &rate, "messages a second of all senders together, instead of a window"},
    {"size", &size, NULL, "characters of a message"},
    {"seconds", NULL, &seconds, "measured"},
    {"warm", NULL, &warm, "seconds before that"},
    {"patience", NULL, &patience, "seconds without any progress that mean failure"},
    {"mark", &mark, NULL, "1: tell the server when the measuring begins and ends, by SIGUSR1 and SIGUSR2"},
    {"at-once", &at_once, NULL, "handshakes under way at a time while people come"},
};

/* People. */
struct person {
    struct link link;
    char *token;
    bool joined;
    /* as a sender */
    uint32_t sent;
    int flying;
    int64_t *since; /* when each of those under way was sent, by number modulo FLIGHT */
    /* as a reader */
    uint32_t *next; /* by sender of the room: the number that comes next */
    uint64_t order; /* of all that came, folded */
    uint64_t taken;
};

static struct person *people;
static struct link askers[SIGN_INS * 32];
static int asker_count, senders_per_room;
static int next_token, tokens, opened, opening, joined, lost_count;
static uint64_t missing, repeated, leaked, deliveries, sent, acks, done, refused;
static struct spread delays, ack_delays;
static bool measuring, talking;
static char nonce[16], room_prefix[32];

static bool is_asker(const struct link *link) { return link >= askers && link < askers + SIGN_INS * 32; }
static bool is_storm(void) { return scenario[1] == 't'; }
static bool is_sign_in(void) { return scenario[1] == 'i'; }

static struct person *person_of(struct link *link) { return (struct person *)link; }

/* HTTP. */

static void ask_for_token(struct link *link) {
    char request[200];
    if (is_sign_in())
        link->number = done % 20000;
    else if (next_token < users)
        link->number = next_token++;
    else
        return;
    int n = snprintf(request, sizeof request, "GET /auth?username=u%sx%05d HTTP/1.1\r\nHost: localhost\r\n\r\n", nonce, link->number);
    link_send(link, request, n);
    link_flush(link);
}

static void upgrade(struct link *link) {
    char request[2048];
    int room = is_storm() ? link->number : link->number % rooms;
    int n = snprintf(request, sizeof request,
                     "GET /ws?token=%s&room=%s-%d HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
                     person_of(link)->token, room_prefix, room, json ? "Sec-WebSocket-Protocol: gochatsecure.v1.json\r\n" : "");
    link_send(link, request, n);
    link_flush(link);
}

void on_ready(struct link *link) {
    if (is_asker(link)) ask_for_token(link);
    else upgrade(link);
}

static void keep_token(int number, const char *body, size_t size) {
    const char *found = memmem(body, size, "\"token\"", 7);
    const char *end = body + size, *from = found ? memchr(found + 7, '"', end - found - 7) : NULL;
    const char *to = from ? memchr(from + 1, '"', end - from - 1) : NULL;
    if (!to) fail("there is no token in the answer to /auth");
    if (is_sign_in()) return;
    people[number].token = strndup(from + 1, to - from - 1);
    tokens++;
}

void on_answer(struct link *link, int status, const char *body, size_t body_size, bool closing) {
    if (is_asker(link)) {
        if (status != 200) fail("a sign-in was refused");
        keep_token(link->number, body, body_size);
        done++;
        if (closing) link_shut(link);
        else if (!is_sign_in() || talking) ask_for_token(link);
        return;
    }
    if (status != 101) {
        fprintf(stderr, "load: /ws answered %d: %.*s\n", status, (int)body_size, body);
        fail("a handshake was refused");
    }
    opened++, opening--;
    if (is_storm()) {
        done++;
        link_say(link, 8, "\x03\xe8", 2);
        link_flush(link);
        link_shut(link);
        return;
    }
    struct person *person = person_of(link);
    if (json) {
        char ask[200];
        link_say(link, 1, ask, snprintf(ask, sizeof ask, "{\"op\":\"join\",\"id\":\"join\",\"room\":\"%s-%d\"}", room_prefix, link->number % rooms));
        link_flush(link);
    } else {
        person->joined = true;
        joined++;
    }
}

void on_lost(struct link *link, const char *why) {
    if (is_asker(link)) return; /* it is opened again where there is more to ask */
    if (link->deaf) return;
    opening -= is_storm() || !person_of(link)->joined;
    lost_count++;
    if (lost_count <= 3) fprintf(stderr, "load: user %d lost its connection: %s\n", link->number, why);
}

/* Talk. A message is #SSSSSNNNNNNNNNTTTTTTTTTTTTTTTT and dots: its sender, its number, when it was due (ns). */

static void put_digits(char *to, int width, uint64_t value) {
    while (width) to[--width] = '0' + value % 10, value /= 10;
}

static uint64_t digits(const char *from, int width) {
    uint64_t value = 0;
    while (width--) value = value * 10 + (*from++ - '0');
    return value;
}

static void say(struct person *person, int64_t due_ns) {
    char text[TEXT + 256];
    int n = 0, number = person->link.number;
    if (json)
        n = snprintf(text, sizeof text, "{\"op\":\"send\",\"id\":%u,\"room\":\"%s-%d\",\"cid\":\"c%u\",\"text\":\"", person->sent, room_prefix,
                     number % rooms, person->sent);
    text[n] = '#';
    put_digits(text + n + 1, 5, number);
    put_digits(text + n + 6, 9, person->sent);
    put_digits(text + n + 15, 16, due_ns);
    if (size > STAMP) memset(text + n + STAMP, '.', size - STAMP);
    n += size;
    if (json) memcpy(text + n, "\"}", 2), n += 2;
    person->since[person->sent % FLIGHT] = due_ns;
    person->sent++, person->flying++, sent++;
    link_say(&person->link, 1, text, n);
}

static void fill(struct person *person) {
    if (rate || !talking || person->link.state != WEBSOCKET) return;
    int64_t now = now_ns();
    while (person->flying < window) say(person, now);
    link_flush(&person->link);
}

static void take_message(struct person *person, const char *stamp) {
    int sender = digits(stamp + 1, 5), room = person->link.number % rooms;
    uint32_t number = digits(stamp + 6, 9);
    if (sender >= senders || sender % rooms != room) {
        leaked++;
        return;
    }
    uint32_t *next = &person->next[sender / rooms];
    if (number < *next) {
        repeated++;
        return;
    }
    missing += number - *next;
    *next = number + 1;
    person->order = (person->order ^ ((uint64_t)sender << 32 | number)) * 0x100000001b3ull;
    person->taken++, deliveries++;
    if (measuring) spread_add(&delays, read_ns - (int64_t)digits(stamp + 15, 16));
    if (sender == person->link.number && !json) person->flying--;
}

static void take_answer_of(struct person *person, const char *text, size_t length) {
    if (memmem(text, length, "\"error\"", 7)) {
        if (!refused++) fprintf(stderr, "load: refused: %.*s\n", (int)length, text);
        person->flying--;
    } else if (text[6] == '"') { /* to `join` */
        person->joined = true;
        joined++;
    } else {
        uint32_t number = strtoul(text + 6, NULL, 10);
        if (measuring) spread_add(&ack_delays, read_ns - person->since[number % FLIGHT]);
        person->flying--, acks++;
    }
}

void on_text(struct link *link, const char *text, size_t length) {
    struct person *person = person_of(link);
    if (json && length > 6 && !memcmp(text, "{\"re\":", 6)) {
        take_answer_of(person, text, length);
        return;
    }
    const char *stamp = memchr(text, '#', length);
    if (stamp && text + length - stamp >= STAMP) take_message(person, stamp);
    else if (!json && text[0] == '!' && !refused++) fprintf(stderr, "load: refused: %.*s\n", (int)length, text);
}

void on_read(struct link *link) {
    if (!is_asker(link) && link->number < senders) fill(person_of(link));
}

/* The scenarios. */

static void report(double elapsed, int64_t cpu, int64_t mine) {
    bool one_order = true;
    for (int i = rooms; i < users; i++)
        if (people[i].joined && !people[i].link.deaf && people[i].order != people[i % rooms].order) one_order = false;
    printf("{\"scenario\": \"%s\", \"seconds\": %.3f, \"server_cpu_s\": %.4f, \"load_cpu_s\": %.4f, ", scenario, elapsed, cpu / 1e9, mine / 1e9);
    printf("\"missing\": %" PRIu64 ", \"repeated\": %" PRIu64 ", \"leaked\": %" PRIu64 ", \"one_order\": %s, \"lost\": %d, \"refused\": %" PRIu64, missing,
           repeated, leaked, one_order ? "true" : "false", lost_count, refused);
}

static void sign_in_all(void) {
    int64_t begun = now_ns();
    asker_count = SIGN_INS;
    while (tokens < users) {
        for (int i = 0; i < asker_count; i++)
            if (askers[i].state == SHUT && next_token < users) link_open(&askers[i]);
        links_wait(now_ns() + 100000000);
        if (now_ns() - begun > 120 * 1000000000LL) fail("signing in takes too long");
    }
    for (int i = 0; i < asker_count; i++) link_shut(&askers[i]);
}

static void come_in(void) {
    int last = -1;
    int64_t progress = now_ns();
    for (int next = 0; joined < users;) {
        while (next < users && opening < at_once) link_open(&people[next++].link), opening++;
        links_wait(now_ns() + 100000000);
        if (joined != last) last = joined, progress = now_ns();
        if (lost_count) fail("people lose their connections on coming in");
        if (now_ns() - progress > patience * 1e9) fail("people do not get in");
    }
}

static uint64_t expected(void) {
    uint64_t all = 0;
    for (int i = 0; i < senders; i++) all += (uint64_t)people[i].sent * (users / rooms + (i % rooms < users % rooms));
    return all;
}

static void run_room(void) {
    struct { int64_t ns, cpu, mine; uint64_t deliveries, sent, acks; } from = {0}, to = {0};
    sign_in_all();
    come_in();
    for (int64_t until = now_ns() + 300000000; now_ns() < until;) links_wait(until); /* what joining brought */
    talking = true;
    for (int i = 0; i < senders; i++) fill(&people[i]);
    int64_t begun = now_ns(), due = begun, begin = begun + warm * 1e9, end = begin + seconds * 1e9, next = begun;
    for (uint64_t turn = 0;;) {
        int64_t now = now_ns();
        if (!measuring && !from.ns && now >= begin) {
            from.ns = now, from.cpu = cpu_of(pid), from.mine = cpu_of_mine();
            from.deliveries = deliveries, from.sent = sent, from.acks = acks, measuring = true;
            if (mark) kill(pid, SIGUSR1);
        }
        if (now >= end) break;
        next = measuring ? end : begin;
        if (rate) {
            for (; due <= now; due = begun + ++turn * 1e9 / rate) {
                struct person *person = &people[turn % senders];
                if (person->link.state != WEBSOCKET) continue;
                say(person, due);
                link_flush(&person->link);
            }
            if (due < next) next = due;
        }
        links_wait(next);
    }
    to.ns = now_ns(), to.cpu = cpu_of(pid), to.mine = cpu_of_mine();
    to.deliveries = deliveries, to.sent = sent, to.acks = acks;
    measuring = talking = false;
    if (mark) kill(pid, SIGUSR2);
    uint64_t all = expected(), last = 0;
    for (int64_t progress = now_ns(); deliveries < all || (json && acks + refused < sent);) {
        links_wait(now_ns() + 100000000);
        if (deliveries + acks != last) last = deliveries + acks, progress = now_ns();
        if (now_ns() - progress > patience * 1e9) break;
    }
    for (int i = 0; i < users; i++)
        for (int k = i % rooms; k < senders; k += rooms) missing += people[k].sent - people[i].next[k / rooms];
    double elapsed = (to.ns - from.ns) / 1e9;
    report(elapsed, to.cpu - from.cpu, to.mine - from.mine);
    printf(", \"deliveries\": %" PRIu64 ", \"messages\": %" PRIu64 ", \"acks\": %" PRIu64, to.deliveries - from.deliveries, to.sent - from.sent,
           to.acks - from.acks);
    spread_print("delay_us", &delays);
    spread_print("ack_us", &ack_delays);
}

static void run_idle(void) {
    char byte;
    int64_t begun = now_ns();
    sign_in_all();
    int64_t signed_in = now_ns();
    come_in();
    int64_t in = now_ns();
    for (int64_t until = now_ns() + 1000000000; now_ns() < until;) links_wait(until);
    printf("{\"scenario\": \"idle\", \"sessions\": %d, \"sign_in_s\": %.3f, \"join_s\": %.3f", users, (signed_in - begun) / 1e9, (in - signed_in) / 1e9);
    puts("}");
    fflush(stdout);
    while (read(0, &byte, 1) > 0) continue;
    exit(0);
}

static void run_repeatedly(void) {
    struct { int64_t ns, cpu, mine; uint64_t done; } from = {0}, to;
    asker_count = users;
    if (is_sign_in() && users > SIGN_INS * 32) fail("too many connections");
    if (is_storm()) sign_in_all();
    done = 0, talking = true;
    int64_t begin = now_ns() + warm * 1e9, end = begin + seconds * 1e9;
    while (now_ns() < end) {
        if (!from.ns && now_ns() >= begin) {
            from.ns = now_ns(), from.cpu = cpu_of(pid), from.mine = cpu_of_mine(), from.done = done;
            if (mark) kill(pid, SIGUSR1);
        }
        for (int i = 0; i < users; i++) {
            struct link *link = is_storm() ? &people[i].link : &askers[i];
            if (link->state == SHUT) link_open(link);
        }
        links_wait(from.ns ? end : begin);
    }
    to.ns = now_ns(), to.cpu = cpu_of(pid), to.mine = cpu_of_mine(), to.done = done;
    if (mark) kill(pid, SIGUSR2);
    report((to.ns - from.ns) / 1e9, to.cpu - from.cpu, to.mine - from.mine);
    printf(", \"done\": %" PRIu64, to.done - from.done);
}

static void read_options(int count, char **words) {
    for (int i = 2; i < count; i++) {
        if (!strcmp(words[i], "--json")) {
            json = true;
            continue;
        }
        if (!strcmp(words[i], "--room") && i + 1 < count) {
            snprintf(room_prefix, sizeof room_prefix, "%s", words[++i]);
            continue;
        }
        struct option_row *row = NULL;
        for (size_t k = 0; k < sizeof options / sizeof *options; k++)
            if (!strncmp(words[i], "--", 2) && !strcmp(words[i] + 2, options[k].name)) row = &options[k];
        if (!row || i + 1 == count) fail("unknown option; load without arguments lists them");
        if (row->number) *row->number = atoi(words[++i]);
        else *row->real = atof(words[++i]);
    }
    if (size < STAMP || size > TEXT) fail("--size: too small or too large");
    if (senders > users) senders = users;
}

int main(int count, char **words) {
    if (count < 2) {
        puts("load room|idle|storm|sign-in, with --json, --room NAME (which is followed by its number), and");
        for (size_t k = 0; k < sizeof options / sizeof *options; k++) printf("  --%-10s %s\n", options[k].name, options[k].help);
        return 2;
    }
    scenario = words[1];
    read_options(count, words);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    snprintf(nonce, sizeof nonce, "%x", (unsigned)(now_ns() / 1000000 % 0xfffff));
    if (!*room_prefix) snprintf(room_prefix, sizeof room_prefix, "r%s", nonce);
    errno = 0;
    links_begin(port);
    senders_per_room = (senders + rooms - 1) / rooms;
    people = calloc(users, sizeof *people);
    for (int i = 0; i < users; i++) {
        people[i].link.number = i;
        people[i].next = calloc(senders_per_room, sizeof(uint32_t));
        if (i < senders) people[i].since = calloc(FLIGHT, sizeof(int64_t));
    }
    if (!strcmp(scenario, "room")) run_room();
    else if (!strcmp(scenario, "idle")) run_idle();
    else if (is_storm() || is_sign_in()) run_repeatedly();
    else fail("no such scenario");
    puts("}");
    return 0;
}
