// The kernels around a train step on the GPU: scalars of the step, images from the resident data set, the step's numbers.
// Compiled after codegen/cuda's preamble and runtime/data/window.inc. Every parameter is eight bytes.

// Where the run stands; runtime/cuda/cuda_held.h has the same structure.
struct FblSessionState {
    unsigned long long seed, epoch, step;
    long long epoch_step, batch; // steps done in the epoch; images in a full batch
    int bad, unused;             // a gradient of this step is not finite
};

// What is fixed for a program; the same structure as in cuda_held.h.
struct FblSessionShape {
    int images, height, width;             // of the batch that the program takes
    int source_height, source_width;       // of the data set
    int ops, kind[8], size[8], pad[8];     // of the transform
    int classes, score_image, score_class; // strides of the scores
    int step_is_float, t_is_float;
};

struct FblSessionRecord {
    float loss;
    int right, bad, unused;
};

// One thread: the scalars that the functions read. Pointers may be null where a function has no such input.
extern "C" __global__ void fbl_session_begin(FblSessionState *state, const FblSessionShape *shape, FblScalars *train, FblScalars *optimizer, void *step, void *t) {
    if (threadIdx.x == 0) {
        state->bad = 0;
        train->seed = state->seed;
        train->step = state->step;
        if (optimizer) {
            optimizer->seed = state->seed;
            optimizer->step = state->step;
        }
        if (step) {
            if (shape->step_is_float) {
                *(float *)step = (float)(double)state->step;
            } else {
                *(int *)step = (int)state->step;
            }
        }
        if (t) {
            if (shape->t_is_float) {
                *(float *)t = (float)(double)(state->step + 1);
            } else {
                *(int *)t = (int)(state->step + 1);
            }
        }
    }
}

// How a batch is mixed (runtime/data/mixup.h); the same structure as in cuda_held.h.
struct FblSessionMix {
    float weight; // of the own image
    int cut, top, left, height, width; // cut: the rectangle comes from the partner, and nothing is blended
};

// The window of the image at a place of the epoch's order, as the loader draws it.
FBL_DEVICE FblWindow fbl_session_window(const FblSessionState *state, const FblSessionShape *shape, long long position) {
    FblRandom random;
    random.scalars.seed = state->seed;
    random.scalars.step = state->epoch;
    random.next = (unsigned long long)position * FBL_WORDS_PER_IMAGE;
    FblWindow w = {0, 0, shape->source_height, shape->source_width, 0};
    for (int i = 0; i < shape->ops; i++) {
        fbl_window_move(shape->kind[i], shape->size[i], shape->pad[i], &random, &w);
    }
    return w;
}

// A normalised element of an image seen through a window.
FBL_DEVICE float fbl_session_element(const FblSessionShape *shape, const FblWindow &w, const unsigned char *source, const float *table, int channel, int y, int x) {
    int sy = w.top + y, sx = w.left + (w.flip ? w.width - 1 - x : x);
    int level = 0;
    if (sy >= 0 && sy < shape->source_height && sx >= 0 && sx < shape->source_width) {
        level = source[(channel * shape->source_height + sy) * shape->source_width + sx];
    }
    return table[channel * 256 + level];
}

// One block an image: the window of the image at its place of the epoch's order, through the table of normalised levels. With
// `mixes` (one a batch of the epoch) blended with, or in a rectangle replaced by, its partner in the batch: partners[] are numbers
// in the batch, in the epoch's order. Products and sums of the blend are rounded one by one, as the loader's are.
extern "C" __global__ void fbl_session_images(const FblSessionState *state, const FblSessionShape *shape, const unsigned char *pixels, const int *labels, const int *order,
                                              const float *table, float *out_image, int *out_label, int *out_label2, const FblSessionMix *mixes, const int *partners,
                                              float *out_mix) {
    int image = blockIdx.x;
    long long first = state->epoch_step * state->batch, position = first + image, other = mixes ? first + partners[position] : position;
    FblWindow w = fbl_session_window(state, shape, position), o = w;
    FblSessionMix mix = {1.0f, 0, 0, 0, 0, 0};
    if (mixes) {
        mix = mixes[state->epoch_step];
        o = fbl_session_window(state, shape, other);
    }
    int plane = w.height * w.width;
    long long source_size = 3 * (long long)shape->source_height * shape->source_width;
    const unsigned char *own_source = pixels + order[position] * source_size, *other_source = pixels + order[other] * source_size;
    float *out = out_image + (long long)image * 3 * plane;
    for (int k = threadIdx.x; k < 3 * plane; k += blockDim.x) {
        int channel = k / plane, y = k % plane / w.width, x = k % w.width;
        float value = fbl_session_element(shape, w, own_source, table, channel, y, x);
        if (mixes) {
            bool inside = y >= mix.top && y < mix.top + mix.height && x >= mix.left && x < mix.left + mix.width;
            if (!mix.cut) {
                float second = fbl_session_element(shape, o, other_source, table, channel, y, x);
                value = FBL_ADD(FBL_MUL(mix.weight, value), FBL_MUL(1.0f - mix.weight, second));
            } else if (inside) {
                value = fbl_session_element(shape, o, other_source, table, channel, y, x);
            }
        }
        out[k] = value;
    }
    if (threadIdx.x == 0) {
        if (out_label) {
            out_label[image] = labels[order[position]];
        }
        if (out_label2) {
            out_label2[image] = labels[order[other]];
        }
        if (image == 0 && out_mix && mixes) {
            *out_mix = mix.weight;
        }
    }
}

// One thread: on to the next batch of an evaluation.
extern "C" __global__ void fbl_session_next(FblSessionState *state) {
    if (threadIdx.x == 0) {
        state->epoch_step += 1;
    }
}

// Whether a gradient is not finite. Every thread that finds one stores the same number. `scale` (may be null) is what the loss
// was multiplied by: down to `least` such a step is skipped, which is no mistake.
extern "C" __global__ void fbl_session_check(FblSessionState *state, const float *gradients, long long count, const float *scale, double least) {
    int bad = 0;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (long long)gridDim.x * blockDim.x) {
        float zero = gradients[i] - gradients[i]; // NaN for a NaN and for infinities
        bad |= zero != 0.0f;
    }
    if (bad && !(scale && (double)*scale >= least)) {
        state->bad = 1;
    }
}

// One warp an image: whether its label has the highest score (of equal scores the lowest class, as the CPU's trainer counts).
extern "C" __global__ void fbl_session_rows(const FblSessionShape *shape, const float *scores, const int *labels, int *right) {
    int image = blockIdx.x, lane = threadIdx.x;
    const float *row = scores + (long long)image * shape->score_image;
    int best = -1;
    float best_score = 0.0f;
    for (int c = lane; c < shape->classes; c += 32) {
        float score = row[(long long)c * shape->score_class];
        if (score == score && (best < 0 || score > best_score)) {
            best = c;
            best_score = score;
        }
    }
    for (int step = 16; step > 0; step /= 2) {
        int other = (int)fbl_shuffle_xor((unsigned)best, step);
        float other_score = fbl_float(fbl_shuffle_xor(fbl_bits(best_score), step));
        if (other >= 0 && (best < 0 || other_score > best_score || (other_score == best_score && other < best))) {
            best = other;
            best_score = other_score;
        }
    }
    if (lane == 0) {
        float first = row[0]; // no score is higher than a NaN that comes first
        right[image] = (first != first || best < 0 ? 0 : best) == labels[image];
    }
}

// One warp: the step's record, and on to the next step.
extern "C" __global__ void fbl_session_end(FblSessionState *state, const FblSessionShape *shape, const float *loss, const int *right, FblSessionRecord *records) {
    unsigned sum = 0;
    for (int i = threadIdx.x; i < shape->images; i += 32) {
        sum += (unsigned)right[i];
    }
    for (int step = 16; step > 0; step /= 2) {
        sum += fbl_shuffle_xor(sum, step);
    }
    if (threadIdx.x == 0) {
        FblSessionRecord *record = records + state->epoch_step;
        record->loss = *loss;
        record->right = (int)sum;
        record->bad = state->bad;
        state->epoch_step += 1;
        state->step += 1;
    }
}
