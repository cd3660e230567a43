// Hopper's instructions on a CPU, included by shim.h: asynchronous barriers, the copy engine's tensor maps, warpgroup products
// from descriptors in shared memory.
// Written from the PTX ISA's definitions, not from the code generator's address arithmetic.
//
// What runs in the background is as late, or as early, as the seed says: a product reads its factors somewhere between its issue
// and the wait for its group; until then its sums hold NaN. A thread that waits for a barrier is a fiber that is not resumed.
// What the hardware would leave undefined ends the process with a message: products without wgmma.fence, an end of the kernel with
// products under way, copies that are announced to consumers without a proxy fence, a barrier that was never initialised.

#define SHIM_PRODUCTS 64

// A warp's part of its warpgroup's products: 16 of 64 rows.
struct ShimWarp {
    bool fenced, flying;
    int group, count, columns;
    ShimProduct products[SHIM_PRODUCTS];
    float *to[32];
    float sums[32][128];
};
static ShimWarp shim_warps[SHIM_THREADS / 32];
static unsigned shim_below(unsigned n);

static unsigned char *shim_at(unsigned address, unsigned bytes) {
    if (address < SHIM_BASE || address + bytes > SHIM_BASE + sizeof shim_window) {
        shim_fail("an address outside shared memory");
    }
    return (unsigned char *)shim_window + (address - SHIM_BASE);
}
static inline unsigned fbl_shared_address(const void *p) { return SHIM_BASE + (unsigned)((const unsigned char *)p - (const unsigned char *)shim_window); }
static inline void fbl_copy_async_to(unsigned to, const void *from, bool inside) { fbl_copy_async((unsigned *)shim_at(to, 16), (const float *)from, inside); }

// Barriers: bits 0..11 count, 12..23 arrivals missing, 24 parity of the phase, 25..31 a mark; upper word: bytes missing --------------

#define SHIM_MARK 0x2bu

static uint64_t *shim_barrier(unsigned address) {
    uint64_t *barrier = (uint64_t *)shim_at(address, 8);
    if (address % 8 != 0 || (*barrier >> 25 & 0x7f) != SHIM_MARK) {
        shim_fail("no barrier here");
    }
    return barrier;
}
static void shim_barrier_turn(unsigned address, unsigned arrivals, int bytes) {
    uint64_t *barrier = shim_barrier(address);
    unsigned count = *barrier & 0xfff, missing = *barrier >> 12 & 0xfff, parity = *barrier >> 24 & 1;
    int left = (int)(uint32_t)(*barrier >> 32) + bytes;
    if (arrivals > missing) {
        shim_fail("more arrivals at a barrier than it counts");
    }
    missing -= arrivals;
    if (missing == 0 && left == 0) {
        missing = count;
        parity ^= 1;
    }
    *barrier = (uint64_t)(uint32_t)left << 32 | (uint64_t)SHIM_MARK << 25 | parity << 24 | missing << 12 | count;
}
// Whether the phase of this parity has ended: it is not the one at work.
static bool shim_barrier_done(unsigned address, unsigned parity) { return (*shim_barrier(address) >> 24 & 1) != parity; }

static inline void fbl_barrier_init(unsigned address, unsigned count) {
    if (address % 8 != 0 || count == 0 || count > 0xfff) {
        shim_fail("a barrier that cannot be");
    }
    *(uint64_t *)shim_at(address, 8) = (uint64_t)SHIM_MARK << 25 | count << 12 | count;
}
static inline void fbl_barrier_fence() {}
static inline void fbl_fence_async() { shim_now->unfenced = false; }
static inline void fbl_barrier_arrive(unsigned address) {
    if (shim_now->unfenced) {
        shim_fail("copies are announced to the tensor cores without a proxy fence");
    }
    shim_barrier_turn(address, 1, 0);
}
static inline void fbl_barrier_expect(unsigned address, unsigned bytes) {
    if (shim_now->unfenced) {
        shim_fail("copies are announced to the tensor cores without a proxy fence");
    }
    shim_barrier_turn(address, 0, (int)bytes);
    shim_barrier_turn(address, 1, 0);
}
static inline void fbl_barrier_wait(unsigned address, unsigned parity) {
    shim_barrier(address);
    if (!shim_barrier_done(address, parity)) {
        shim_now->barrier = address;
        shim_now->parity = parity;
        shim_now->state = SHIM_BARRIER;
        shim_to_scheduler();
    }
}

// The copy engine: a transfer lands at any time between its issue and the moment when nothing else can go on; until then its
// destination holds NaN ----------------------------------------------------------------------------------------------

#define __grid_constant__
struct alignas(128) FblMap { unsigned char bytes[128]; };

#define SHIM_TRANSFERS 256
struct ShimTransfer {
    SoftMap map;
    unsigned to, barrier;
    int at[4], tap[2];
};
static ShimTransfer shim_transfers[SHIM_TRANSFERS];
static int shim_transfer_count;

static unsigned shim_transfer_rows(const SoftMap *map) { return map->walked ? map->pixels : (unsigned)map->box[1] * map->box[2]; }

// Elements [first, first + count) of dimension 0 at `offset` bytes, or zeros, as row `row` of the transfer.
static void shim_transfer_row(const ShimTransfer *t, unsigned row, bool inside, int first, uint64_t offset) {
    const SoftMap *map = &t->map;
    unsigned element = map->element, mask = map->swizzle / 16 - 1;
    for (unsigned i = 0; i < map->swizzle / element; i++) {
        unsigned address = t->to + row * map->swizzle + i * element;
        unsigned char *to = shim_at(address ^ ((address >> 7 & mask) << 4), element);
        if (inside && first + (int)i >= 0 && (uint32_t)(first + (int)i) < map->extents[0]) {
            std::memcpy(to, (const unsigned char *)(uintptr_t)map->address + offset + (uint64_t)(first + (int)i) * element, element);
        } else {
            std::memset(to, 0, element);
        }
    }
}

static void shim_land(int number) {
    ShimTransfer t = shim_transfers[number];
    const SoftMap *map = &t.map;
    shim_transfers[number] = shim_transfers[--shim_transfer_count];
    int w = t.at[1], h = t.at[2], n = t.at[3];
    for (unsigned row = 0; row < shim_transfer_rows(map); row++) {
        int64_t at[4] = {0, 0, 0, 0};
        if (map->walked) {
            at[1] = w + t.tap[0], at[2] = h + t.tap[1], at[3] = n;
            w += map->steps[1];
            if (w > (int)map->extents[1] - 1 + map->upper[0]) {
                w = map->lower[0];
                h += map->steps[2];
            }
            if (h > (int)map->extents[2] - 1 + map->upper[1]) {
                h = map->lower[1];
                n++;
            }
        } else {
            at[1] = t.at[1] + (int)(row % map->box[1]), at[2] = t.at[2] + (int)(row / map->box[1]);
        }
        bool inside = true;
        uint64_t offset = 0;
        for (int d = 1; d < map->rank; d++) {
            inside = inside && at[d] >= 0 && at[d] < (int64_t)map->extents[d];
            offset += (uint64_t)at[d] * map->strides[d - 1];
        }
        shim_transfer_row(&t, row, inside, t.at[0], offset);
    }
    shim_barrier_turn(t.barrier, 0, -(int)(shim_transfer_rows(map) * map->swizzle));
}

static void shim_transfer(unsigned to, const FblMap *encoded, unsigned barrier, bool walked, const int (&at)[4], int tap_w, int tap_h) {
    ShimTransfer t = {};
    std::memcpy(&t.map, encoded->bytes, sizeof t.map);
    const SoftMap *map = &t.map;
    unsigned rows = shim_transfer_rows(map);
    if (map->mark != SOFT_MAP_MARK || (map->walked != 0) != walked || map->rank != (walked ? 4 : 3) || (walked ? map->channels : map->box[0]) * map->element != map->swizzle) {
        shim_fail("a tensor map that is none, of another kind, or narrower than its swizzle");
    }
    if (walked && (at[1] < map->lower[0] || at[1] > (int)map->extents[1] - 1 + map->upper[0] || at[2] < map->lower[1] || at[2] > (int)map->extents[2] - 1 + map->upper[1] || tap_w < 0 ||
                   tap_w > 255 || tap_h < 0 || tap_h > 255)) {
        shim_fail("a walk over pixels that starts outside its rectangle, or a tap too far");
    }
    if (to % 128 != 0 || shim_transfer_count == SHIM_TRANSFERS) {
        shim_fail("a transfer that is not aligned, or more of them than the shim keeps");
    }
    shim_barrier(barrier);
    t.to = to;
    t.barrier = barrier;
    std::memcpy(t.at, at, sizeof at);
    t.tap[0] = tap_w;
    t.tap[1] = tap_h;
    std::memset(shim_at(to, rows * map->swizzle), 0xff, rows * map->swizzle);
    shim_transfers[shim_transfer_count++] = t;
}
static inline void fbl_map_tile(unsigned to, const FblMap *map, unsigned barrier, int x, int y, int z) { shim_transfer(to, map, barrier, false, {x, y, z, 0}, 0, 0); }
static inline void fbl_map_pixels(unsigned to, const FblMap *map, unsigned barrier, int c, int w, int h, int n, int tap_w, int tap_h) {
    shim_transfer(to, map, barrier, true, {c, w, h, n}, tap_w, tap_h);
}
// Lands some of the transfers, one at least when nothing else can go on (`stuck`). Whether any landed.
static bool shim_land_some(bool stuck) {
    bool landed = false;
    while (shim_transfer_count > 0 && (shim_random != 0 ? shim_below(4) == 0 || (stuck && !landed) : stuck && !landed)) {
        shim_land(shim_random != 0 ? (int)shim_below((unsigned)shim_transfer_count) : 0);
        landed = true;
    }
    return landed;
}

// Warpgroup products ------------------------------------------------------------------------------------------------

static inline unsigned long long fbl_wgmma_factor(unsigned address, unsigned leading, unsigned stride, unsigned swizzle) {
    if (address % 16 != 0 || leading % 16 != 0 || stride % 16 != 0 || leading >> 18 != 0 || stride >> 18 != 0) {
        shim_fail("a descriptor that cannot be");
    }
    return (address & 0x3ffffull) >> 4 | (unsigned long long)(leading >> 4) << 16 | (unsigned long long)(stride >> 4) << 32 | (unsigned long long)swizzle << 62;
}

// One factor. In units of 16 bytes, a factor along the sum is rows in groups of 8, a group `stride` bytes from the next; its rows
// are a swizzle width apart, and the units of a row neighbours. A turned factor is indices of the sum in groups of 8, `stride`
// bytes from group to group, a swizzle width from index to index; the units along its rows are neighbours up to the swizzle width,
// the next such run is `leading` bytes on. Without swizzle a group of 8 is 128 bytes in a row. Then bits 4.. of the address are
// exchanged by bits 7..
static float shim_wgmma_element(unsigned long long d, ShimOp format, bool turn, int row, int k) {
    unsigned start = (unsigned)(d & 0x3fff) << 4, leading = (unsigned)(d >> 16 & 0x3fff) << 4, stride = (unsigned)(d >> 32 & 0x3fff) << 4, mode = (unsigned)(d >> 62);
    unsigned size = format == SHIM_TF32 ? 4 : 2, per = 16 / size, width = mode == 0 ? 16 : 256u >> mode, offset;
    if (d >> 49 & 7) {
        shim_fail("a base offset in a descriptor");
    }
    if (!turn) {
        unsigned unit = (unsigned)k / per;
        offset = (unsigned)row / 8 * stride + (unsigned)row % 8 * width + unit * (mode == 0 ? leading : 16);
        offset += (unsigned)k % per * size;
    } else {
        unsigned unit = (unsigned)row / per, units = width / 16;
        offset = mode == 0 ? unit * stride + (unsigned)k / 8 * leading : unit / units * leading + unit % units * 16 + (unsigned)k / 8 * stride;
        offset += (unsigned)k % 8 * width + (unsigned)row % per * size;
    }
    unsigned address = start + offset;
    address ^= (address >> 7 & (mode == 1 ? 7 : mode == 2 ? 3 : mode == 3 ? 1 : 0)) << 4;
    unsigned word = 0;
    std::memcpy(&word, shim_at(address, size), size);
    return shim_factor(format, word, 0);
}

static void shim_run_product(ShimWarp *warp, ShimProduct *product) {
    int depth = product->format == SHIM_TF32 ? 8 : 16, quarter = (int)(warp - shim_warps) % 4 * 16;
    static float b[256][16];
    shim_multiply_adds += 16ull * warp->columns * depth;
    for (int n = 0; n < warp->columns; n++) {
        for (int k = 0; k < depth; k++) {
            b[n][k] = shim_wgmma_element(product->b, product->format, product->turn_b, n, k);
        }
    }
    for (int row = 0; row < 16; row++) {
        float a[16];
        for (int k = 0; k < depth; k++) {
            a[k] = shim_wgmma_element(product->a, product->format, product->turn_a, quarter + row, k);
        }
        for (int n = 0; n < warp->columns; n++) {
            double sum = 0;
            for (int k = 0; k < depth; k++) {
                sum += (double)a[k] * b[n][k];
            }
            // Lane 4 g + t has, of every 8 columns, 2 t and 2 t + 1 in row g, then the same in row g + 8.
            float *to = &warp->sums[4 * (row % 8) + n % 8 / 2][n / 8 * 4 + row / 8 * 2 + n % 2];
            *to = (float)(*to + sum);
        }
    }
    product->done = true;
}

static void shim_do_wgmma(ShimThread *lanes, ShimWarp *warp) {
    switch (lanes[0].op) {
    case SHIM_WGMMA_FENCE: warp->fenced = true; break;
    case SHIM_WGMMA_COMMIT: warp->group++; break;
    case SHIM_WGMMA_WAIT: {
        int kept = 0;
        for (int i = 0; i < warp->count; i++) {
            if (warp->products[i].group < warp->group - lanes[0].lanes) {
                if (!warp->products[i].done) {
                    shim_run_product(warp, &warp->products[i]);
                }
            } else {
                warp->products[kept++] = warp->products[i];
            }
        }
        warp->count = kept;
        warp->fenced = false;
        for (int lane = 0; lane < 32 && warp->flying && kept == 0; lane++) {
            std::memcpy(warp->to[lane], warp->sums[lane], (size_t)warp->columns / 2 * sizeof(float));
        }
        warp->flying = warp->flying && kept > 0;
        break;
    }
    default:
        if (!warp->fenced) {
            shim_fail("a product whose registers were not handed over by a fence");
        }
        for (int lane = 0; lane < 32; lane++) {
            ShimThread *thread = &lanes[lane];
            if (thread->product.a != lanes[0].product.a || thread->product.b != lanes[0].product.b || (warp->flying && (thread->c != warp->to[lane] || thread->lanes != warp->columns))) {
                shim_fail("the lanes of a warp disagree on a product, or it has other sums than the one before");
            }
            if (!warp->flying) {
                warp->to[lane] = thread->c;
                std::memcpy(warp->sums[lane], thread->c, (size_t)thread->lanes / 2 * sizeof(float));
                std::memset(thread->c, 0xff, (size_t)thread->lanes / 2 * sizeof(float));
            }
        }
        if (warp->count == SHIM_PRODUCTS) {
            shim_fail("more products under way than the shim keeps");
        }
        warp->flying = true;
        warp->columns = lanes[0].lanes;
        warp->products[warp->count] = lanes[0].product;
        warp->products[warp->count++].group = warp->group;
        for (int i = 0, early = shim_random != 0 && shim_below(2) == 0; early && i < warp->count; i++) {
            if (!warp->products[i].done) {
                shim_run_product(warp, &warp->products[i]);
            }
        }
    }
}

static inline void fbl_wgmma_fence() { shim_shuffle(SHIM_WGMMA_FENCE, 0, 0); }
static inline void fbl_wgmma_commit() { shim_shuffle(SHIM_WGMMA_COMMIT, 0, 0); }
template <int left> static inline void fbl_wgmma_wait() { shim_shuffle(SHIM_WGMMA_WAIT, 0, left); }
template <int count> static inline void fbl_wgmma_hold(float (&)[count]) {}
static inline void shim_wgmma(ShimOp format, float *d, int count, bool turn_a, bool turn_b, unsigned long long x, unsigned long long y) {
    shim_now->c = d;
    shim_now->product = {format, x, y, turn_a, turn_b, false, 0};
    shim_shuffle(SHIM_WGMMA, 0, 2 * count);
}
template <int TA, int TB, int count> static inline void fbl_wgmma_bf16(float (&d)[count], unsigned long long x, unsigned long long y) { shim_wgmma(SHIM_BF16, d, count, TA, TB, x, y); }
template <int TA, int TB, int count> static inline void fbl_wgmma_f16(float (&d)[count], unsigned long long x, unsigned long long y) { shim_wgmma(SHIM_F16, d, count, TA, TB, x, y); }
template <int TA, int TB, int count> static inline void fbl_wgmma_tf32(float (&d)[count], unsigned long long x, unsigned long long y) {
    static_assert(TA == 0 && TB == 0, "tf32 factors lie along the sum");
    shim_wgmma(SHIM_TF32, d, count, false, false, x, y);
}

static void shim_end() {
    if (shim_warps[(shim_now - shim_threads) / 32].flying) {
        shim_fail("a thread ended with products under way");
    }
}
