#include "base/utf8.h"

size_t fbl_utf8_decode(const char *text, size_t size, uint32_t *out_code) {
    const unsigned char *p = (const unsigned char *)text;
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    uint32_t code = p[0];
    size_t length = 1;
    *out_code = FBL_UTF8_INVALID;
    if (code < 0x80) {
        *out_code = code;
        return 1;
    }
    if (code >= 0xC2 && code <= 0xDF) {
        length = 2;
        code &= 0x1F;
    } else if (code >= 0xE0 && code <= 0xEF) {
        length = 3;
        code &= 0x0F;
    } else if (code >= 0xF0 && code <= 0xF4) {
        length = 4;
        code &= 0x07;
    } else {
        return 1;
    }
    if (length > size) {
        return 1;
    }
    for (size_t i = 1; i < length; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            return 1;
        }
        code = code << 6 | (p[i] & 0x3F);
    }
    if (code < smallest[length] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) {
        return 1;
    }
    *out_code = code;
    return length;
}

int fbl_utf8_width(uint32_t code) {
    static const struct {
        uint32_t first, last;
        int width;
    } ranges[] = {
        {0x0300, 0x036F, 0},   {0x1100, 0x115F, 2},   {0x200B, 0x200F, 0},   {0x20D0, 0x20F0, 0},
        {0x2E80, 0x303E, 2},   {0x3041, 0xA4CF, 2},   {0xAC00, 0xD7A3, 2},   {0xF900, 0xFAFF, 2},
        {0xFE00, 0xFE0F, 0},   {0xFE20, 0xFE2F, 0},   {0xFE30, 0xFE6F, 2},   {0xFF00, 0xFF60, 2},
        {0xFFE0, 0xFFE6, 2},   {0x1F300, 0x1F64F, 2}, {0x1F900, 0x1F9FF, 2}, {0x20000, 0x3FFFD, 2},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        if (code >= ranges[i].first && code <= ranges[i].last) {
            return ranges[i].width;
        }
    }
    return 1;
}
