// The software driver's own parts: what handles point to, queues of streams, memory. soft_driver.c has the entry points of the API,
// soft_work.c does the work.
// Threads: one caller at a time; which thread has a context and captures is kept per thread, as the driver does.
#ifndef FBL_TESTS_CUDART_SOFT_H
#define FBL_TESTS_CUDART_SOFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NOT_INITIALIZED = 3,
    NO_DEVICE = 100,
    INVALID_IMAGE = 200,
    INVALID_CONTEXT = 201,
    NO_BINARY = 209,
    INVALID_HANDLE = 400,
    NOT_FOUND = 500,
    NOT_READY = 600,
    ILLEGAL_ADDRESS = 700,
    OUT_OF_RESOURCES = 701,
    MISALIGNED_ADDRESS = 716,
    CAPTURE_UNSUPPORTED = 900,
    CAPTURE_INVALIDATED = 901,
    CAPTURE_ISOLATION = 905,
    CAPTURED_EVENT = 907,
    CAPTURE_WRONG_THREAD = 908,
};

#define SOFT_DEVICES 8 // at most
#define MAX_ARGUMENTS 64
#define MAX_MAPS 2 // tensor maps among the arguments

// The first member of whatever a handle points to. Destroyed objects keep their memory, so that a handle that is used afterwards is
// told from a live one.
typedef enum Tag { DEAD, MODULE, FUNCTION, EVENT, STREAM, GRAPH_MADE, GRAPH_READY } Tag;

typedef struct Handle {
    Tag tag;
    int device; // whose context made it
} Handle;

typedef unsigned long long Address;

typedef struct Function Function;
typedef struct Stream Stream;
typedef struct Graph Graph;

typedef struct Module {
    Handle handle;
    void *library;
    void (*launch)(const char *, void (*)(void **), void **, const uint32_t *, const uint32_t *, uint32_t, uint64_t);
    Function *functions; // that were asked for
} Module;

// What soft_nvrtc.c notes of a kernel beside its code.
typedef struct SoftKernel {
    int count, sizes[MAX_ARGUMENTS]; // of the arguments, in bytes; 0: a pointer
    int most_threads;                // __launch_bounds__
    int shared;                      // bytes of shared memory of its own
} SoftKernel;

struct Function {
    Handle handle;
    Module *module;
    char name[160];
    void (*call)(void **);
    const SoftKernel *kernel;
    int most_shared; // dynamic shared memory that was asked for
    double charge;   // microseconds, made up
    Function *next;
};

typedef struct Event {
    Handle handle;
    unsigned flags;
    Stream *stream;
    uint64_t recorded, completed; // numbers of records asked for and reached
    bool captured;                // its last record is a graph's
    struct timespec time;
    double charged; // microseconds of kernels before it
} Event;

// Where streams of several devices come together (soft_nccl.c): `meet` is called when all have come, again in every round of graphs.
typedef struct SoftMeeting SoftMeeting;
struct SoftMeeting {
    int count;
    void (*meet)(SoftMeeting *meeting);
    struct Stream *streams[SOFT_DEVICES];
    uint64_t arrived[SOFT_DEVICES], finished; // rounds
};

typedef enum OpKind { LAUNCH, COPY, FILL, RECORD, WAIT, HOST, MEET } OpKind;

typedef struct Op {
    OpKind kind;
    Function *function;
    uint32_t grid[3], block[3], shared;
    uint64_t arguments[MAX_ARGUMENTS];
    unsigned char maps[MAX_MAPS][128]; // arguments that are longer: tensor maps, in order
    void *to;
    const void *from;
    void *owned; // a copy of pageable memory, freed afterwards
    size_t bytes;
    unsigned char value;
    Event *event;
    uint64_t number; // of the event's record, or of the meeting's round once the stream has come to it
    SoftMeeting *meeting;
    int rank; // of the stream in the meeting
    void (*host)(void *); // called with `to`
    const char *tile;     // that it is charged as
} Op;

struct Graph {
    Handle handle;
    Op *ops;
    size_t count, capacity;
};

struct Stream {
    Handle handle;
    Graph queue;
    size_t done;
    Graph *capturing;
    const void *capturer; // the thread that captures
    bool invalidated; // something happened that a capture does not survive
    bool meeting;     // waits for other devices
    unsigned number;  // streams are numbered in the order in which they are made
    Stream *next;
};

extern Stream *soft_streams;
extern int soft_sticky;        // after a fault everything fails
extern size_t soft_used;       // bytes of device memory

// A number of FBL_SOFT_GPU; 1 for a name without one.
double soft_setting(const char *name, double otherwise);
// What a kernel of this tile costs by FBL_SOFT_CHARGE.
double soft_charge_of(const char *tile);
// For what has no error that a program could see, or would not look at: says so and ends the process.
_Noreturn void soft_violation(const char *what);

// Behind the graph's other operations, zeroed.
Op *soft_push(Graph *graph);
// Runs a stream's work up to a place of its queue.
void soft_drain(Stream *stream, size_t until);
// To be called when work was put onto a stream: does it at once where FBL_SOFT_GPU=eager says so.
void soft_added(Stream *stream);

int soft_allocate(void **out, size_t bytes, bool pinned, int device);
int soft_release(void *memory, bool pinned);
// Allocations of a device that were not freed.
size_t soft_blocks(int device);
// Whether [memory, memory + bytes) lies in one allocation: of pinned memory, or of this device's.
bool soft_inside_pinned(const void *memory, size_t bytes);
bool soft_inside(const void *memory, size_t bytes, int device);

// Puts a meeting onto the stream of one of its ranks.
void soft_meet(Stream *stream, SoftMeeting *meeting, int rank);

#endif
