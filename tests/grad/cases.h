// Graphs whose derivative is checked: all leaves are inputs, root `y` is the result (of any shape).
#ifndef FBL_TESTS_GRAD_CASES_H
#define FBL_TESTS_GRAD_CASES_H

typedef struct GradCase {
    const char *name;
    const char *body; // the lines of the graph
} GradCase;

// Terminated by a case without a name.
extern const GradCase GRAD_CASES[];

#endif
