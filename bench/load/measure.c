#define _GNU_SOURCE
#include "measure.h"

#include "link.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

void spread_add(struct spread *spread, int64_t ns) {
    uint64_t value = ns < 32 ? 32 : ns;
    int high = 63 - __builtin_clzll(value);
    spread->bucket[high * 32 + ((value >> (high - 5)) & 31)]++;
    spread->count++;
}

static double spread_us(const struct spread *spread, double part) {
    uint64_t left = spread->count * part;
    for (int i = 0; i < 64 * 32; i++) {
        if (spread->bucket[i] > left) return ((32.0 + i % 32 + 0.5) * (1ull << (i / 32)) / 32) / 1000;
        left -= spread->bucket[i];
    }
    return 0;
}

void spread_print(const char *name, const struct spread *spread) {
    if (!spread->count) return;
    printf(", \"%s\": {\"count\": %" PRIu64 ", \"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, \"p999\": %.1f}", name, spread->count,
           spread_us(spread, .5), spread_us(spread, .9), spread_us(spread, .99), spread_us(spread, .999));
}

int64_t cpu_of(int pid) {
    if (!pid) return 0;
    char path[64];
    int64_t total = 0;
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *threads = opendir(path);
    if (!threads) fail("the server is not there");
    for (struct dirent *entry; (entry = readdir(threads));) {
        char name[400];
        long long ns;
        if (entry->d_name[0] == '.') continue;
        snprintf(name, sizeof name, "%s/%s/schedstat", path, entry->d_name);
        FILE *file = fopen(name, "r");
        if (!file) continue;
        if (fscanf(file, "%lld", &ns) == 1) total += ns;
        fclose(file);
    }
    closedir(threads);
    errno = 0;
    return total;
}

int64_t cpu_of_mine(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}
