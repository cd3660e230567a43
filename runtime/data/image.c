#include "runtime/data/image.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jpeglib.h>
#include <jerror.h>
#include <png.h>

// Honest progressive pictures have about ten scans; each scan of a hostile one costs a pass over all coefficients.
#define MAX_SCANS 200

#define MAX_FILE_BYTES ((long)1 << 28)

void fbl_image_deinit(FblImage *image) {
    free(image->pixels);
    *image = (FblImage){0};
}

static FblStatus fail(FblImageError *error, FblStatus status, const char *text) {
    snprintf(error->text, sizeof error->text, "%s", text);
    return status;
}

static FblStatus allocate(int64_t width, int64_t height, FblImage *out, FblImageError *error) {
    if (width <= 0 || height <= 0 || width > FBL_IMAGE_MAX_PIXELS / height) {
        return fail(error, FBL_USER, "the picture is empty or too large");
    }
    out->width = (int32_t)width;
    out->height = (int32_t)height;
    out->pixels = malloc((size_t)width * (size_t)height * 3);
    return out->pixels != NULL ? FBL_OK : fail(error, FBL_NOMEM, "not enough memory");
}

// State of one JPEG being decoded; libjpeg reports errors by jumping out.
typedef struct Jpeg {
    struct jpeg_decompress_struct info;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf jump;
    FblImageError *error;
    uint8_t *line; // CMYK row
    bool cut_off;
} Jpeg;

static void jpeg_fail(j_common_ptr info) {
    Jpeg *jpeg = info->client_data;
    char text[JMSG_LENGTH_MAX];
    info->err->format_message(info, text);
    fail(jpeg->error, FBL_USER, text);
    longjmp(jpeg->jump, 1);
}

static void jpeg_warn(j_common_ptr info, int level) {
    Jpeg *jpeg = info->client_data;
    if (level < 0 && info->err->msg_code == JWRN_JPEG_EOF) {
        jpeg->cut_off = true; // other warnings are about pictures that can still be seen
    }
}

static void jpeg_silent(j_common_ptr info) {
    (void)info;
}

static void jpeg_watch(j_common_ptr info) {
    Jpeg *jpeg = info->client_data;
    if (info->is_decompressor && jpeg->info.input_scan_number > MAX_SCANS) {
        fail(jpeg->error, FBL_USER, "the picture has too many scans");
        longjmp(jpeg->jump, 1);
    }
}

// a * b / 255, rounded.
static int scaled(int a, int b) {
    int t = a * b + 128;
    return ((t >> 8) + t) >> 8;
}

// Four-channel JPEGs hold inverted CMYK, as Adobe wrote them.
static void cmyk_to_rgb(const uint8_t *in, int32_t width, uint8_t *out) {
    for (int32_t x = 0; x < width; x++, in += 4, out += 3) {
        int white = in[3];
        for (int c = 0; c < 3; c++) {
            int value = white - scaled(255 - in[c], white);
            out[c] = (uint8_t)(value < 0 ? 0 : value);
        }
    }
}

static FblStatus decode_jpeg(const uint8_t *bytes, size_t size, FblImage *out, FblImageError *error) {
    Jpeg jpeg = {.error = error};
    Jpeg *volatile state = &jpeg;
    jpeg.info.err = jpeg_std_error(&jpeg.errors);
    jpeg.info.client_data = state;
    jpeg.errors.error_exit = jpeg_fail;
    jpeg.errors.emit_message = jpeg_warn;
    jpeg.errors.output_message = jpeg_silent;
    if (setjmp(jpeg.jump) != 0) {
        jpeg_destroy_decompress(&jpeg.info);
        free(jpeg.line);
        fbl_image_deinit(out);
        return FBL_USER;
    }
    jpeg_create_decompress(&jpeg.info);
    jpeg.info.client_data = state;
    jpeg.progress.progress_monitor = jpeg_watch;
    jpeg.info.progress = &jpeg.progress;
    jpeg.info.mem->max_memory_to_use = 1L << 30;
    jpeg_mem_src(&jpeg.info, bytes, (unsigned long)size);
    jpeg_read_header(&jpeg.info, TRUE);
    bool four = jpeg.info.num_components == 4;
    jpeg.info.out_color_space = four ? JCS_CMYK : JCS_RGB;
    FblStatus status = allocate(jpeg.info.image_width, jpeg.info.image_height, out, error);
    if (status == FBL_OK && four) {
        jpeg.line = malloc((size_t)out->width * 4);
        status = jpeg.line != NULL ? FBL_OK : fail(error, FBL_NOMEM, "not enough memory");
    }
    if (status == FBL_OK) {
        jpeg_start_decompress(&jpeg.info);
        while (jpeg.info.output_scanline < jpeg.info.output_height) {
            uint8_t *row = out->pixels + (size_t)jpeg.info.output_scanline * (size_t)out->width * 3;
            JSAMPROW target = four ? jpeg.line : row;
            jpeg_read_scanlines(&jpeg.info, &target, 1);
            if (four) {
                cmyk_to_rgb(jpeg.line, out->width, row);
            }
        }
        status = jpeg.cut_off ? fail(error, FBL_USER, "the picture is cut off") : FBL_OK;
    }
    jpeg_destroy_decompress(&jpeg.info);
    free(jpeg.line);
    if (status != FBL_OK) {
        fbl_image_deinit(out);
    }
    return status;
}

typedef struct PngSource {
    const uint8_t *bytes;
    size_t left;
    FblImageError *error;
    png_bytep *rows;
} PngSource;

static void png_fail(png_structp png, png_const_charp message) {
    PngSource *source = png_get_error_ptr(png);
    fail(source->error, FBL_USER, message);
    png_longjmp(png, 1);
}

static void png_silent(png_structp png, png_const_charp message) {
    (void)png;
    (void)message;
}

static void png_take(png_structp png, png_bytep out, size_t count) {
    PngSource *source = png_get_io_ptr(png);
    if (count > source->left) {
        png_error(png, "the picture is cut off");
    }
    memcpy(out, source->bytes, count);
    source->bytes += count;
    source->left -= count;
}

// The part between setjmp and its end, alone in a function so that no local is lost by a jump.
static FblStatus read_png(png_structp png, png_infop info, PngSource *source, FblImage *out) {
    png_set_user_limits(png, 1u << 20, 1u << 20);
    png_set_chunk_malloc_max(png, 1u << 24);
    png_set_chunk_cache_max(png, 64);
    png_set_read_fn(png, source, png_take);
    png_read_info(png, info);
    FBL_TRY(allocate(png_get_image_width(png, info), png_get_image_height(png, info), out, source->error));
    png_set_expand(png);
    png_set_strip_16(png);
    png_set_strip_alpha(png);
    png_set_gray_to_rgb(png);
    png_set_interlace_handling(png);
    png_read_update_info(png, info);
    size_t pitch = (size_t)out->width * 3;
    if (png_get_rowbytes(png, info) != pitch) {
        return fail(source->error, FBL_USER, "its colour type is not supported");
    }
    source->rows = malloc((size_t)out->height * sizeof *source->rows);
    if (source->rows == NULL) {
        return fail(source->error, FBL_NOMEM, "not enough memory");
    }
    for (int32_t y = 0; y < out->height; y++) {
        source->rows[y] = out->pixels + (size_t)y * pitch;
    }
    png_read_image(png, source->rows);
    png_read_end(png, NULL);
    return FBL_OK;
}

static FblStatus decode_png(const uint8_t *bytes, size_t size, FblImage *out, FblImageError *error) {
    PngSource source = {.bytes = bytes, .left = size, .error = error};
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &source, png_fail, png_silent);
    png_infop info = png != NULL ? png_create_info_struct(png) : NULL;
    if (info == NULL) {
        png_destroy_read_struct(&png, NULL, NULL);
        return fail(error, FBL_NOMEM, "not enough memory");
    }
    volatile FblStatus status = FBL_USER;
    if (setjmp(png_jmpbuf(png)) == 0) {
        status = read_png(png, info, &source, out);
    }
    png_destroy_read_struct(&png, &info, NULL);
    free(source.rows);
    if (status != FBL_OK) {
        fbl_image_deinit(out);
    }
    return status;
}

FblStatus fbl_image_decode(const uint8_t *bytes, size_t size, FblImage *out, FblImageError *error) {
    *out = (FblImage){0};
    error->text[0] = 0;
    if (size >= 8 && png_sig_cmp(bytes, 0, 8) == 0) {
        return decode_png(bytes, size, out, error);
    }
    if (size >= 3 && bytes[0] == 0xFF && bytes[1] == 0xD8 && bytes[2] == 0xFF) {
        return decode_jpeg(bytes, size, out, error);
    }
    return fail(error, FBL_USER, "it is neither a JPEG nor a PNG");
}

FblStatus fbl_image_read(const char *path, FblImage *out, FblImageError *error) {
    *out = (FblImage){0};
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return fail(error, FBL_IO, strerrordesc_np(errno));
    }
    long size = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    if (size < 0 || size > MAX_FILE_BYTES || fseek(file, 0, SEEK_SET) != 0) {
        fclose(file);
        return fail(error, FBL_IO, "it cannot be read as a file of at most 256 MiB");
    }
    uint8_t *bytes = malloc((size_t)size + 1);
    size_t got = bytes != NULL ? fread(bytes, 1, (size_t)size, file) : 0;
    fclose(file);
    FblStatus status;
    if (bytes == NULL) {
        status = fail(error, FBL_NOMEM, "not enough memory");
    } else {
        status = fbl_image_decode(bytes, got, out, error);
    }
    free(bytes);
    return status;
}
