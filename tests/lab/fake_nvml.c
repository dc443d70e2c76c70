/* A libnvidia-ml.so.1 for machines without a GPU: the few calls that the probe makes, through the
 * real pynvml. What it reports is read at nvmlInit from the file that FAKE_GPUS names:
 *
 *   init CODE                            what nvmlInit returns (9: driver not loaded)
 *   gpu UUID LOAD USED TOTAL NAME ...    a GPU: load in percent, memory in bytes
 *   fails CODE                           every question about that GPU returns CODE (15: lost)
 *   hangs SECONDS                        ... or takes so long
 *   hides CODE                           ... or only the one about its processes (4: no permission)
 *   reserves BYTES                       memory that the driver keeps for itself
 *   older CODE                           ... and the question that tells it apart returns CODE (13)
 *   process PID BYTES                    a process that computes on it
 *
 * Build: cc -shared -fPIC -Wl,-soname,libnvidia-ml.so.1 -o libnvidia-ml.so.1 fake_nvml.c
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, INSUFFICIENT_SIZE = 7,
       DRIVER_NOT_LOADED = 9 };
enum { MOST_GPUS = 16, MOST_PROCESSES = 32 };

struct process {
    unsigned int pid;
    unsigned long long memory;
    unsigned int gpu_instance, compute_instance;
};

struct rates {
    unsigned int gpu, memory;
};

struct memory {
    unsigned long long total, free, used;
};

struct memory_v2 {
    unsigned int version;
    unsigned long long total, reserved, free, used;
};

struct gpu {
    char uuid[80], name[80];
    unsigned int load, fails, hangs, hides, older, processes;
    unsigned long long used, total, reserved;
    struct process process[MOST_PROCESSES];
};

static struct gpu gpus[MOST_GPUS];
static unsigned int gpu_count, init_code;

static void read_line(const char *line) {
    struct gpu *newest = &gpus[gpu_count ? gpu_count - 1 : 0];
    struct process *process = &newest->process[newest->processes];
    struct gpu gpu = {0};
    if (sscanf(line, "gpu %79s %u %llu %llu %79[^\n]",
               gpu.uuid, &gpu.load, &gpu.used, &gpu.total, gpu.name) == 5)
        gpus[gpu_count++] = gpu;
    else if (sscanf(line, "process %u %llu", &process->pid, &process->memory) == 2)
        newest->processes++;
    else if (sscanf(line, "fails %u", &newest->fails) != 1 &&
             sscanf(line, "hangs %u", &newest->hangs) != 1 &&
             sscanf(line, "hides %u", &newest->hides) != 1 &&
             sscanf(line, "reserves %llu", &newest->reserved) != 1 &&
             sscanf(line, "older %u", &newest->older) != 1)
        sscanf(line, "init %u", &init_code);
}

int nvmlInitWithFlags(unsigned int flags) {
    const char *path = getenv("FAKE_GPUS");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[256];
    (void)flags;
    if (!file)
        return DRIVER_NOT_LOADED;
    gpu_count = init_code = 0;
    while (fgets(line, sizeof line, file))
        read_line(line);
    fclose(file);
    return init_code;
}

const char *nvmlErrorString(int code) {
    static char text[40];
    snprintf(text, sizeof text, "fake NVML error %d", code);
    return text;
}

int nvmlDeviceGetCount_v2(unsigned int *count) {
    *count = gpu_count;
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, struct gpu **device) {
    if (index >= gpu_count)
        return INVALID_ARGUMENT;
    *device = &gpus[index];
    return SUCCESS;
}

static int answer(const struct gpu *device) {
    if (device->hangs)
        sleep(device->hangs);
    return device->fails;
}

int nvmlDeviceGetUUID(struct gpu *device, char *text, unsigned int size) {
    snprintf(text, size, "%s", device->uuid);
    return answer(device);
}

int nvmlDeviceGetName(struct gpu *device, char *text, unsigned int size) {
    snprintf(text, size, "%s", device->name);
    return answer(device);
}

int nvmlDeviceGetUtilizationRates(struct gpu *device, struct rates *rates) {
    rates->gpu = device->load;
    rates->memory = 0;
    return device->load > 100 ? NOT_SUPPORTED : answer(device);
}

int nvmlDeviceGetMemoryInfo(struct gpu *device, struct memory *memory) {
    memory->total = device->total;
    memory->used = device->used + device->reserved;
    memory->free = device->total - memory->used;
    return answer(device);
}

int nvmlDeviceGetMemoryInfo_v2(struct gpu *device, struct memory_v2 *memory) {
    memory->total = device->total;
    memory->reserved = device->reserved;
    memory->used = device->used;
    memory->free = device->total - device->reserved - device->used;
    return device->older ? (int)device->older : answer(device);
}

int nvmlDeviceGetComputeRunningProcesses_v3(struct gpu *device, unsigned int *count,
                                            struct process *processes) {
    unsigned int room = *count;
    *count = device->processes;
    if (device->processes > room)
        return INSUFFICIENT_SIZE; /* the caller asks again, with room for so many */
    memcpy(processes, device->process, device->processes * sizeof *processes);
    return device->hides ? (int)device->hides : answer(device);
}
