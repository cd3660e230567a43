#include "base/build_id.h"

#include <elf.h>
#include <link.h>
#include <string.h>

typedef struct Found {
    const unsigned char *bytes;
    size_t size;
} Found;

static size_t aligned(size_t size) { return (size + 3) / 4 * 4; }

// Looks through the notes of the first object listed, which is the program itself.
static int look(struct dl_phdr_info *info, size_t size, void *arg) {
    (void)size;
    Found *found = arg;
    for (int i = 0; i < info->dlpi_phnum && !found->bytes; i++) {
        if (info->dlpi_phdr[i].p_type != PT_NOTE) {
            continue;
        }
        const char *at = (const char *)info->dlpi_addr + info->dlpi_phdr[i].p_vaddr, *end = at + info->dlpi_phdr[i].p_memsz;
        while (at + sizeof(ElfW(Nhdr)) <= end) {
            ElfW(Nhdr) note;
            memcpy(&note, at, sizeof note);
            const char *name = at + sizeof note, *data = name + aligned(note.n_namesz);
            if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && memcmp(name, "GNU", 4) == 0) {
                *found = (Found){(const unsigned char *)data, note.n_descsz};
                break;
            }
            at = data + aligned(note.n_descsz);
        }
    }
    return 1;
}

const char *fbl_build_id(FblContext *ctx) {
    Found found = {0};
    dl_iterate_phdr(look, &found);
    char hex[65] = "";
    for (size_t i = 0; i < found.size && i < 32; i++) {
        hex[2 * i] = "0123456789abcdef"[found.bytes[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[found.bytes[i] & 15];
        hex[2 * i + 2] = 0;
    }
    return fbl_arena_printf(fbl_context_arena(ctx), "%s%s%s", FBL_VERSION, found.size ? "+" : "", hex);
}
