#include "runtime/data/image.h"

#include <errno.h>
#include <math.h>
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

#define TOO_LARGE "the picture is empty or too large"

static FblStatus fail(FblImageError *error, FblStatus status, const char *text) {
    snprintf(error->text, sizeof error->text, "%s", text);
    return status;
}

static FblStatus allocate(int64_t width, int64_t height, FblImage *out, FblImageError *error) {
    if (width <= 0 || height <= 0 || width > FBL_IMAGE_MAX_PIXELS / height) {
        return fail(error, FBL_USER, TOO_LARGE);
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

// The lines of the picture from *first on that hold the part, and the columns; libjpeg rounds them outwards.
typedef struct Span {
    JDIMENSION left, width; // columns
    JDIMENSION top, bottom; // lines
    JDIMENSION skip;        // lines that are not even transformed
} Span;

// Upsampling of colour looks at neighbours, so one block more is decoded on every side: the part is exact.
static Span span_of(const struct jpeg_decompress_struct *info, const FblImagePart *part) {
    JDIMENSION across = (JDIMENSION)info->max_h_samp_factor * DCTSIZE, down = (JDIMENSION)info->max_v_samp_factor * DCTSIZE;
    JDIMENSION left = (JDIMENSION)part->left, right = left + (JDIMENSION)part->width;
    Span span = {.top = (JDIMENSION)part->top, .bottom = (JDIMENSION)(part->top + part->height)};
    span.left = left > across ? left - across : 0;
    right = right + across < info->output_width ? right + across : info->output_width;
    span.width = right - span.left;
    span.skip = span.top / down > 1 ? (span.top / down - 1) * down : 0;
    return span;
}

// The end marker: what is left of a JPEG that was not read to its end must hold it, unless it is what was read last.
// (Inside the coded data it cannot occur.)
static bool has_end(j_decompress_ptr info) {
    const uint8_t *at = info->src->next_input_byte;
    return info->unread_marker == JPEG_EOI || jpeg_input_complete(info) || memmem(at, info->src->bytes_in_buffer, "\xFF\xD9", 2) != NULL;
}

// Lines of the part, in RGB.
static void read_lines(Jpeg *jpeg, const Span *span, FblImage *out) {
    struct jpeg_decompress_struct *info = &jpeg->info;
    if (span->skip > 0) {
        jpeg_skip_scanlines(info, span->skip);
    }
    while (info->output_scanline < span->bottom) {
        JDIMENSION line = info->output_scanline;
        uint8_t *row = out->pixels + (size_t)(line > span->top ? line - span->top : 0) * (size_t)out->width * 3;
        JSAMPROW target = jpeg->line != NULL ? jpeg->line : row;
        jpeg_read_scanlines(info, &target, 1);
        if (jpeg->line != NULL && line >= span->top) {
            cmyk_to_rgb(jpeg->line, out->width, row);
        }
    }
}

static void shrink_part(FblImagePart *part, double fraction) {
    part->left *= fraction;
    part->top *= fraction;
    part->width *= fraction;
    part->height *= fraction;
}

// From the header on: jumps out on errors.
static FblStatus decode_lines(Jpeg *jpeg, FblImagePart *part) {
    struct jpeg_decompress_struct *info = &jpeg->info;
    FblImage *out = &part->image;
    bool four = info->num_components == 4, whole = part->shrink > 1 || four;
    info->out_color_space = four ? JCS_CMYK : JCS_RGB;
    info->scale_num = 1;
    info->scale_denom = (unsigned)part->shrink;
    jpeg_calc_output_dimensions(info);
    // Refused before any memory is asked for that the size in the header would need.
    if ((int64_t)info->image_width > FBL_IMAGE_MAX_PIXELS / (int64_t)info->image_height) {
        return fail(jpeg->error, FBL_USER, TOO_LARGE);
    }
    jpeg_start_decompress(info);
    Span span = {0, info->output_width, 0, info->output_height, 0};
    if (whole) {
        shrink_part(part, 1.0 / part->shrink);
    } else {
        span = span_of(info, part);
        if (span.width < info->output_width) {
            jpeg_crop_scanline(info, &span.left, &span.width);
        }
        part->left -= span.left;
        part->top = 0;
    }
    FBL_TRY(allocate(span.width, (int64_t)span.bottom - span.top, out, jpeg->error));
    if (four) {
        jpeg->line = malloc((size_t)out->width * 4);
        if (jpeg->line == NULL) {
            return fail(jpeg->error, FBL_NOMEM, "not enough memory");
        }
    }
    read_lines(jpeg, &span, out);
    bool cut_off = jpeg->cut_off || (info->output_scanline < info->output_height && !has_end(info));
    return cut_off ? fail(jpeg->error, FBL_USER, "the picture is cut off") : FBL_OK;
}

static void open_jpeg(Jpeg *jpeg, const uint8_t *bytes, size_t size) {
    jpeg_create_decompress(&jpeg->info);
    jpeg->info.client_data = jpeg;
    jpeg->progress.progress_monitor = jpeg_watch;
    jpeg->info.progress = &jpeg->progress;
    jpeg->info.mem->max_memory_to_use = 1L << 30;
    jpeg_mem_src(&jpeg->info, bytes, (unsigned long)size);
    jpeg_read_header(&jpeg->info, TRUE);
}

// With part->width 0 the header only: the part becomes the whole picture.
static FblStatus decode_jpeg(const uint8_t *bytes, size_t size, FblImagePart *part, FblImageError *error) {
    Jpeg jpeg = {.error = error};
    Jpeg *volatile state = &jpeg;
    jpeg.info.err = jpeg_std_error(&jpeg.errors);
    jpeg.info.client_data = state;
    jpeg.errors.error_exit = jpeg_fail;
    jpeg.errors.emit_message = jpeg_warn;
    jpeg.errors.output_message = jpeg_silent;
    volatile FblStatus status = FBL_USER;
    if (setjmp(jpeg.jump) == 0) {
        open_jpeg(state, bytes, size);
        if (part->width > 0) {
            status = decode_lines(state, part);
        } else {
            part->width = jpeg.info.image_width;
            part->height = jpeg.info.image_height;
            status = FBL_OK;
        }
    } else {
        status = FBL_USER;
    }
    jpeg_destroy_decompress(&jpeg.info);
    free(jpeg.line);
    if (status != FBL_OK) {
        fbl_image_deinit(&part->image);
    }
    return status;
}

typedef struct PngSource {
    const uint8_t *bytes;
    size_t left;
    FblImageError *error;
    png_bytep *rows;
    FblImagePart *part; // its image is made; with width 0 only the size is read
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
static FblStatus read_png(png_structp png, png_infop info, PngSource *source) {
    FblImage *out = &source->part->image;
    png_set_user_limits(png, 1u << 20, 1u << 20);
    png_set_chunk_malloc_max(png, 1u << 24);
    png_set_chunk_cache_max(png, 64);
    png_set_read_fn(png, source, png_take);
    png_read_info(png, info);
    if (!(source->part->width > 0)) {
        source->part->width = png_get_image_width(png, info);
        source->part->height = png_get_image_height(png, info);
        return FBL_OK;
    }
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

static FblStatus decode_png(const uint8_t *bytes, size_t size, FblImagePart *part, FblImageError *error) {
    PngSource source = {.bytes = bytes, .left = size, .error = error, .part = part};
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &source, png_fail, png_silent);
    png_infop info = png != NULL ? png_create_info_struct(png) : NULL;
    if (info == NULL) {
        png_destroy_read_struct(&png, NULL, NULL);
        return fail(error, FBL_NOMEM, "not enough memory");
    }
    volatile FblStatus status = FBL_USER;
    if (setjmp(png_jmpbuf(png)) == 0) {
        status = read_png(png, info, &source);
    }
    png_destroy_read_struct(&png, &info, NULL);
    free(source.rows);
    if (status != FBL_OK) {
        fbl_image_deinit(&part->image);
    }
    return status;
}

static FblStatus decode(const uint8_t *bytes, size_t size, FblImagePart *part, FblImageError *error) {
    error->text[0] = 0;
    part->image = (FblImage){0};
    if (size >= 8 && png_sig_cmp(bytes, 0, 8) == 0) {
        return decode_png(bytes, size, part, error);
    }
    if (size >= 3 && bytes[0] == 0xFF && bytes[1] == 0xD8 && bytes[2] == 0xFF) {
        return decode_jpeg(bytes, size, part, error);
    }
    return fail(error, FBL_USER, "it is neither a JPEG nor a PNG");
}

FblStatus fbl_image_size(const uint8_t *bytes, size_t size, int32_t *out_width, int32_t *out_height, FblImageError *error) {
    FblImagePart part = {0};
    FBL_TRY(decode(bytes, size, &part, error));
    if (!(part.width > 0 && part.height > 0 && part.width <= (double)FBL_IMAGE_MAX_PIXELS / part.height)) {
        return fail(error, FBL_USER, TOO_LARGE);
    }
    *out_width = (int32_t)part.width;
    *out_height = (int32_t)part.height;
    return FBL_OK;
}

FblStatus fbl_image_decode_part(const uint8_t *bytes, size_t size, FblImagePart *part, FblImageError *error) {
    return decode(bytes, size, part, error);
}

int32_t fbl_image_shrink(double from_width, double from_height, int32_t to_width, int32_t to_height) {
    return fmin(from_width / to_width, from_height / to_height) >= FBL_IMAGE_SHRINK_FROM ? 2 : 1;
}

FblStatus fbl_image_decode(const uint8_t *bytes, size_t size, FblImage *out, FblImageError *error) {
    *out = (FblImage){0};
    FblImagePart part = {.shrink = 1};
    int32_t width, height;
    FBL_TRY(fbl_image_size(bytes, size, &width, &height, error));
    part.width = width;
    part.height = height;
    FBL_TRY(decode(bytes, size, &part, error));
    *out = part.image;
    return FBL_OK;
}

FblStatus fbl_image_load(const char *path, uint8_t **out_bytes, size_t *out_size, FblImageError *error) {
    *out_bytes = NULL;
    error->text[0] = 0;
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
    if (bytes == NULL) {
        return fail(error, FBL_NOMEM, "not enough memory");
    }
    *out_bytes = bytes;
    *out_size = got;
    return FBL_OK;
}

FblStatus fbl_image_read(const char *path, FblImage *out, FblImageError *error) {
    *out = (FblImage){0};
    uint8_t *bytes;
    size_t size;
    FBL_TRY(fbl_image_load(path, &bytes, &size, error));
    FblStatus status = fbl_image_decode(bytes, size, out, error);
    free(bytes);
    return status;
}
