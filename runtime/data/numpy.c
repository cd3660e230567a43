#include "runtime/data/numpy.h"

#define SHIFT 397
#define LENGTH 624

void fbl_numpy_seed(FblNumpyRandom *random, uint32_t seed) {
    for (int i = 0; i < LENGTH; i++) {
        random->key[i] = seed;
        seed = 1812433253u * (seed ^ (seed >> 30)) + (uint32_t)i + 1;
    }
    random->position = LENGTH;
}

uint32_t fbl_numpy_next(FblNumpyRandom *random) {
    uint32_t *key = random->key;
    if (random->position == LENGTH) {
        for (int i = 0; i < LENGTH; i++) {
            uint32_t y = (key[i] & 0x80000000u) | (key[(i + 1) % LENGTH] & 0x7FFFFFFFu);
            key[i] = key[(i + SHIFT) % LENGTH] ^ (y >> 1) ^ (y & 1 ? 0x9908B0DFu : 0);
        }
        random->position = 0;
    }
    uint32_t y = key[random->position++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9D2C5680u;
    y ^= y << 15 & 0xEFC60000u;
    return y ^ y >> 18;
}

void fbl_numpy_shuffle(FblNumpyRandom *random, int64_t *items, int64_t count) {
    for (int64_t i = count - 1; i > 0; i--) {
        // Uniform in 0..i: mask to the bits of i and draw again when above.
        uint32_t mask = (uint32_t)i;
        for (int shift = 1; shift < 32; shift *= 2) {
            mask |= mask >> shift;
        }
        uint32_t j;
        do {
            j = fbl_numpy_next(random) & mask;
        } while (j > (uint32_t)i);
        int64_t item = items[i];
        items[i] = items[j];
        items[j] = item;
    }
}

// numpy sorts runs of up to 16 elements (ends at most this far apart) by insertion.
#define SMALL 15

static void swap(int64_t *order, int64_t a, int64_t b) {
    int64_t item = order[a];
    order[a] = order[b];
    order[b] = item;
}

static void insertion_sort(const int64_t *v, int64_t *order, int64_t low, int64_t high) {
    for (int64_t i = low + 1; i <= high; i++) {
        int64_t item = order[i];
        int64_t j = i;
        for (; j > low && v[item] < v[order[j - 1]]; j--) {
            order[j] = order[j - 1];
        }
        order[j] = item;
    }
}

static void sift(const int64_t *v, int64_t *heap, int64_t root, int64_t count) {
    int64_t item = heap[root - 1]; // numbered from 1, as heaps are
    int64_t i = root;
    for (int64_t j = 2 * i; j <= count; j *= 2) {
        if (j < count && v[heap[j - 1]] < v[heap[j]]) {
            j++;
        }
        if (v[item] >= v[heap[j - 1]]) {
            break;
        }
        heap[i - 1] = heap[j - 1];
        i = j;
    }
    heap[i - 1] = item;
}

static void heap_sort(const int64_t *v, int64_t *order, int64_t count) {
    for (int64_t root = count / 2; root > 0; root--) {
        sift(v, order, root, count);
    }
    for (int64_t n = count; n > 1; n--) {
        swap(order, 0, n - 1);
        sift(v, order, 1, n - 1);
    }
}

// Parts [low, high] into two around the median of three and returns the pivot's place.
static int64_t partition(const int64_t *v, int64_t *order, int64_t low, int64_t high) {
    int64_t middle = low + (high - low) / 2;
    if (v[order[middle]] < v[order[low]]) {
        swap(order, middle, low);
    }
    if (v[order[high]] < v[order[middle]]) {
        swap(order, high, middle);
    }
    if (v[order[middle]] < v[order[low]]) {
        swap(order, middle, low);
    }
    int64_t pivot = v[order[middle]];
    int64_t i = low;
    int64_t j = high - 1;
    swap(order, middle, j);
    for (;;) {
        do {
            i++;
        } while (v[order[i]] < pivot);
        do {
            j--;
        } while (pivot < v[order[j]]);
        if (i >= j) {
            break;
        }
        swap(order, i, j);
    }
    swap(order, i, high - 1);
    return i;
}

void fbl_numpy_argsort(const int64_t *values, int64_t count, int64_t *out_order) {
    struct {
        int64_t low, high;
        int depth;
    } stack[128]; // the smaller part is sorted first, so 64 levels are enough
    int top = 0;
    int depth = 0;
    for (int64_t n = count; n > 1; n /= 2) {
        depth += 2;
    }
    for (int64_t i = 0; i < count; i++) {
        out_order[i] = i;
    }
    int64_t low = 0;
    int64_t high = count - 1;
    for (;;) {
        if (depth < 0) {
            heap_sort(values, out_order + low, high - low + 1);
        } else {
            while (high - low > SMALL) {
                int64_t pivot = partition(values, out_order, low, high);
                depth--;
                if (pivot - low < high - pivot) {
                    stack[top].low = pivot + 1;
                    stack[top].high = high;
                    high = pivot - 1;
                } else {
                    stack[top].low = low;
                    stack[top].high = pivot - 1;
                    low = pivot + 1;
                }
                stack[top++].depth = depth;
            }
            insertion_sort(values, out_order, low, high);
        }
        if (top == 0) {
            return;
        }
        top--;
        low = stack[top].low;
        high = stack[top].high;
        depth = stack[top].depth;
    }
}
