/* As much of NVML's C interface as pynvml calls, with the answers that a test sets. */
#include <stdio.h>
#include <string.h>

typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct { unsigned int pid; unsigned long long used; unsigned int gpu, compute; } process_t;

int init_result, memory_result, list_result; /* NVML's error codes; 0 is success */
unsigned long long device_used, process_used;
unsigned int process_id;
char known_uuid[96];
static int gpu;

int nvmlInitWithFlags(unsigned int flags) { return init_result; }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int result) {
    static char text[32];
    snprintf(text, sizeof text, "error %d", result);
    return text;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, void **device) {
    *device = &gpu;
    return strcmp(uuid, known_uuid) ? 6 /* NOT_FOUND */ : 0;
}
int nvmlDeviceGetMemoryInfo(void *device, memory_t *memory) {
    memory->total = 1ULL << 33;
    memory->used = device_used;
    memory->free = memory->total - memory->used;
    return memory_result;
}
int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned int *count, process_t *list) {
    if (list_result) return list_result;
    if (*count < 2) { *count = 2; return 7; /* INSUFFICIENT_SIZE */ }
    *count = 2;
    list[0] = (process_t){.pid = 1, .used = 5};
    list[1] = (process_t){.pid = process_id, .used = process_used};
    return 0;
}
