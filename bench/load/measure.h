/* What is measured: delays, and the time of processors. */
#ifndef MEASURE_H
#define MEASURE_H

#include <stdint.h>

/* A histogram of nanoseconds: 32 steps to each doubling, so that a percentile is right within 3 %. */
struct spread { uint64_t count, bucket[64 * 32]; };

void spread_add(struct spread *spread, int64_t ns);
void spread_print(const char *name, const struct spread *spread); /* as a field of a JSON object that has others before it */

int64_t cpu_of(int pid); /* nanoseconds of all its threads together; 0 for process 0 */
int64_t cpu_of_mine(void);

#endif
