// standins OUT SET SIDE [LIST DIVISOR]: a small stand-in for ImageNet-LT, iNaturalist 2018 or Places-LT in the published layout. OUT/NAME_train.txt and
// OUT/NAME_test.txt (or _val.txt) hold lines "relative/path.jpg label", OUT/images the JPEGs, whose sides vary from SIDE/2 to SIDE pixels and of which some
// are grey. SET is imagenet (1000 classes of 4 images down to 1), inat (8142 of 2 down to 1) or places (365): the counts of Places are those of the real
// LIST divided by DIVISOR, rounded up, and so are its paths; without LIST they fall from 12 to 1. The labels are no order of frequency, so that renumbering
// has something to do. A class shows in the colour and the stripes of its images.
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <jpeglib.h> // needs stdio.h before it

#define PI 3.14159265358979323846

typedef struct Set {
    const char *name, *lists, *test_suffix, *train_path, *test_path; // the paths take a class and a number
    int classes, most, least;
} Set;

static const Set sets[] = {
    {"imagenet", "ImageNet_LT", "test", "train/n%08d/n%08d_%d.JPEG", "val/n%08d/ILSVRC2012_val_%08d_%d.JPEG", 1000, 4, 1},
    {"inat", "iNaturalist18", "val", "train_val2018/Plantae/%04d/%04d_%d.jpg", "train_val2018/Aves/%04d/%04d_%d.jpg", 8142, 2, 1},
    {"places", "Places_LT", "test", "train/scene_%03d/%03d_%08d.jpg", "val/scene_%03d/Places365_val_%03d_%08d.jpg", 365, 12, 1},
};

static uint32_t mix(uint32_t x) {
    x = (x ^ x >> 16) * 0x7feb352du;
    x = (x ^ x >> 15) * 0x846ca68bu;
    return x ^ x >> 16;
}

static void die(const char *what, const char *path) {
    fprintf(stderr, "standins: %s %s\n", what, path);
    exit(1);
}

// Makes every folder of `path`.
static void make_folders(const char *path) {
    char copy[4096];
    snprintf(copy, sizeof copy, "%s", path);
    for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(copy, 0777);
        *slash = '/';
    }
}

static void write_image(const char *path, int label, uint32_t seed, int side) {
    uint32_t random = mix(seed);
    int width = side / 2 + (int)(random % (uint32_t)(side / 2 + 1)), height = side / 2 + (int)(mix(random) % (uint32_t)(side / 2 + 1));
    int channels = random % 16 == 0 ? 1 : 3;
    uint32_t kind = mix((uint32_t)label * 2654435761u);
    double angle = (double)(kind % 64) / 64 * PI, frequency = 2 * PI * (1.5 + (double)(kind >> 6 & 7)) / side;
    make_folders(path);
    FILE *file = fopen(path, "wb");
    unsigned char *row = malloc((size_t)(width * channels));
    if (!file || !row) {
        die("cannot write", path);
    }
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_stdio_dest(&jpeg, file);
    jpeg.image_width = (JDIMENSION)width;
    jpeg.image_height = (JDIMENSION)height;
    jpeg.input_components = channels;
    jpeg.in_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(&jpeg);
    jpeg_start_compress(&jpeg, TRUE);
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            double wave = 50 * sin(frequency * (x * cos(angle) + y * sin(angle)));
            for (int c = 0; c < channels; c++) {
                double colour = 70 + (double)(kind >> (8 + 8 * c) & 127), noise = (double)(mix(random + (uint32_t)(y * width + x)) % 21) - 10;
                double value = colour + wave + noise;
                row[x * channels + c] = (unsigned char)(value < 0 ? 0 : value > 255 ? 255 : value);
            }
        }
        jpeg_write_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    free(row);
    if (fclose(file) != 0) {
        die("cannot write", path);
    }
}

static void add(FILE *list, const char *out, const char *relative, int label, uint32_t seed, int side) {
    char path[4096];
    snprintf(path, sizeof path, "%s/images/%s", out, relative);
    write_image(path, label, seed, side);
    fprintf(list, "%s %d\n", relative, label);
}

static FILE *open_list(const char *out, const char *name, const char *suffix) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s_%s.txt", out, name, suffix);
    make_folders(path);
    FILE *list = fopen(path, "w");
    if (!list) {
        die("cannot write", path);
    }
    return list;
}

// Every DIVISOR-th line of each class of the real list.
static void train_like(FILE *list, const char *out, const char *real, int divisor, int side, int classes) {
    FILE *file = fopen(real, "r");
    int *seen = calloc((size_t)classes, sizeof *seen);
    char line[4096], relative[4096];
    if (!file || !seen) {
        die("cannot read", real);
    }
    for (uint32_t number = 0; fgets(line, sizeof line, file); number++) {
        int label;
        if (sscanf(line, "%4000s %d", relative, &label) == 2 && label >= 0 && label < classes && seen[label]++ % divisor == 0) {
            add(list, out, relative, label, number, side);
        }
    }
    fclose(file);
    free(seen);
}

static void train_falling(FILE *list, const char *out, const Set *set, int side) {
    uint32_t number = 0;
    for (int label = 0; label < set->classes; label++) {
        int place = (int)((int64_t)label * 179 % set->classes); // 179 divides none of the numbers of classes
        int count = (int)(set->most * pow((double)set->least / set->most, (double)place / (set->classes - 1)) + 0.5);
        for (int i = 0; i < count || i < set->least; i++) {
            char relative[256];
            snprintf(relative, sizeof relative, set->train_path, label, label, i);
            add(list, out, relative, label, number++, side);
        }
    }
}

int main(int argc, char **argv) {
    const Set *set = NULL;
    for (size_t i = 0; argc > 3 && i < sizeof sets / sizeof sets[0]; i++) {
        set = strcmp(argv[2], sets[i].name) == 0 ? &sets[i] : set;
    }
    int side = set ? atoi(argv[3]) : 0, divisor = argc > 5 ? atoi(argv[5]) : 1;
    if (side < 8 || divisor < 1) {
        fprintf(stderr, "usage: standins OUT imagenet|inat|places SIDE [LIST DIVISOR]\n");
        return 2;
    }
    FILE *train = open_list(argv[1], set->lists, "train"), *test = open_list(argv[1], set->lists, set->test_suffix);
    if (argc > 5) {
        train_like(train, argv[1], argv[4], divisor, side, set->classes);
    } else {
        train_falling(train, argv[1], set, side);
    }
    for (int label = 0; label < set->classes; label += set->classes > 1000 ? 16 : 4) {
        char relative[256];
        snprintf(relative, sizeof relative, set->test_path, label, label, 1);
        add(test, argv[1], relative, label, 0x40000000u + (uint32_t)label, side);
    }
    return fclose(train) == 0 && fclose(test) == 0 ? 0 : 1;
}
