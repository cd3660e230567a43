// What the printers and readers of kernels and plans share. Private to ir/.
//
// Ownership: the context's arena. Threads: as the context.
#ifndef FBL_IR_KERNEL_TEXT_H
#define FBL_IR_KERNEL_TEXT_H

#include <stddef.h>

#include "ir/plan.h"
#include "ir/reader.h"
#include "ir/text.h"

extern const char *const fbl_kernel_kind_names[3];
extern const char *const fbl_contraction_kind_names[4];
extern const char *const fbl_conv_algorithm_names[3];

// The extents of a contraction in textual order.
#define FBL_CONTRACTION_FIELDS 21
typedef struct FblContractionField {
    const char *name;
    size_t offset;
} FblContractionField;
extern const FblContractionField fbl_contraction_fields[FBL_CONTRACTION_FIELDS];

void fbl_kernel_print_to(FblText *text, const FblKernel *kernel, bool details);
// A kernel, from the word `kernel` to its closing brace; verified.
FblStatus fbl_reader_kernel(FblReader *reader, FblKernel **out_kernel);
// f32, i32 or bool.
FblStatus fbl_reader_dtype(FblReader *reader, FblDtype *out_dtype);
// The index of the word that stands here among `names`, stepped over; else E0210 "expected `what`".
FblStatus fbl_reader_choice(FblReader *reader, const char *const *names, int count, const char *what, int *out_choice);

#endif
