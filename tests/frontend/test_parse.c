// What each construct of the language parses to, written down by hand as the tree's dump.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/diag.h"
#include "frontend/parser.h"

static void check_dump(const char *source, const char *expected) {
    FblContext *ctx = fbl_context_create();
    FblAstFile *file = NULL;
    FblStatus status = fbl_parse_source(ctx, fbl_source_add(ctx, "test.fbl", source, strlen(source)), &file);
    if (status != FBL_OK) {
        fbl_diag_flush(ctx, stderr, false);
        fail_msg("does not parse: %s", source);
    }
    char *dump = fbl_ast_dump(file);
    assert_string_equal(dump, expected);
    free(dump);
    fbl_context_destroy(ctx);
}

// An expression, as the value of a constant.
static void check_expr(const char *source, const char *expected) {
    char program[1024], dump[1024];
    snprintf(program, sizeof program, "const c = %s\n", source);
    snprintf(dump, sizeof dump, "(const c %s)\n", expected);
    check_dump(program, dump);
}

// Statements, as the body of a function.
static void check_body(const char *source, const char *expected) {
    char program[2048], dump[2048];
    snprintf(program, sizeof program, "fn f() {\n%s\n}\n", source);
    snprintf(dump, sizeof dump, "(fn f ()\n%s)\n", expected);
    check_dump(program, dump);
}

static void test_literals(void **state) {
    (void)state;
    check_expr("3", "3");
    check_expr("9223372036854775807", "9223372036854775807");
    check_expr("0.5", "0.5r");
    check_expr("2e-4", "0.00020000000000000001r");
    check_expr("1E3", "1000r");
    check_expr("1.5e+2", "150r");
    check_expr("true", "true");
    check_expr("false", "false");
    check_expr("\"\"", "\"\"");
    check_expr("\"a # b\"", "\"a # b\"");
    check_expr("\"a\\n\\t\\\"\\\\\\{x\\}\"", "\"a\\n\t\\\"\\\\{x}\"");
    check_expr("\"layer{stage}.{i + 1}\"", "(string \"layer\" stage \".\" (+ i 1))");
    check_expr("\"{f(\"a{b}\")}\"", "(string (call f (string \"a\" b)))");
    check_expr("\"it's } here\"", "\"it's } here\"");
}

static void test_precedence(void **state) {
    (void)state;
    check_expr("1 + 2 * 3 - 4", "(- (+ 1 (* 2 3)) 4)");
    check_expr("a / b // c % d", "(% (// (/ a b) c) d)");
    check_expr("a - b - c", "(- (- a b) c)");
    check_expr("2 ^ 3 ^ 4", "(^ 2 (^ 3 4))");
    check_expr("-x^2", "(- (^ x 2))");
    check_expr("2^-x^2", "(^ 2 (- (^ x 2)))");
    check_expr("-x * y", "(* (- x) y)");
    check_expr("a * -b", "(* a (- b))");
    check_expr("not a == b and c or d", "(or (and (not (== a b)) c) d)");
    check_expr("a or b and c", "(or a (and b c))");
    check_expr("a + 1 < b * 2", "(< (+ a 1) (* b 2))");
    check_expr("(a < b) == (c >= d)", "(== (< a b) (>= c d))");
    check_expr("a != b or a <= b or a > b", "(or (or (!= a b) (<= a b)) (> a b))");
    check_expr("0..n-1", "(range 0 (- n 1))");
    check_expr("(a + b) * c", "(* (+ a b) c)");
    check_expr("if a then b else if c then d else e + 1", "(if a b (if c d (+ e 1)))");
    check_expr("2 * (if a then b else c) + 1", "(+ (* 2 (if a b c)) 1)");
    check_expr("if a < b or c then 1 else 2", "(if (or (< a b) c) 1 2)");
}

static void test_calls(void **state) {
    (void)state;
    check_expr("f()", "(call f)");
    check_expr("f(a, k=3,)", "(call f a k=3)");
    check_expr("f(x, over=(height, width))", "(call f x over=(tuple height width))");
    check_expr("rename(x, channel -> dim)", "(call rename x channel->dim)");
    check_expr("reshape(x, (height, width) -> dim)", "(call reshape x (tuple height width)->dim)");
    check_expr("slice(x, height = ::2, width = 1:, class = :5, dim = 0:n:2, axis = :)",
               "(call slice x height=(slice _ _ 2) width=(slice 1 _ _) class=(slice _ 5 _) dim=(slice 0 n 2) "
               "axis=(slice _ _ _))");
    check_expr("linear(x, class) as linear", "(call linear x class as \"linear\")");
    check_expr("f(x) as \"layer{i}.0\"", "(call f x as (string \"layer\" i \".0\"))");
    check_expr("1 + f(x) as a * 2", "(+ 1 (* (call f x as \"a\") 2))");
    check_expr("x |> f(a, b=1) as conv1 |> relu |> g as h",
               "(pipe g (pipe relu (pipe f x a b=1 as \"conv1\")) as \"h\")");
    check_expr("a + b |> relu", "(pipe relu (+ a b))");
    check_expr("z[class = label]", "(index z class=label)");
    check_expr("w[0][class = a, batch = 0:2]", "(index (index w 0) class=a batch=(slice 0 2 _))");
    check_expr("f(x)[i]", "(index (call f x) i)");
    check_expr("kaiming_normal(fan=in)", "(call kaiming_normal fan=in)");
    check_expr("f(loss=1, model=2, class=3, axis=4, state=5, param=6, train=7, stage=8)",
               "(call f loss=1 model=2 class=3 axis=4 state=5 param=6 train=7 stage=8)");
}

static void test_tuples_and_lists(void **state) {
    (void)state;
    check_expr("()", "(tuple)");
    check_expr("(a,)", "(tuple a)");
    check_expr("(a)", "a");
    check_expr("(a, b,)", "(tuple a b)");
    check_expr("(mean=(0.5, 1), std=2)", "(tuple mean=(tuple 0.5r 1) std=2)");
    check_expr("[]", "(list)");
    check_expr("[a, [b, 2],]", "(list a (list b 2))");
}

static void test_statements(void **state) {
    (void)state;
    check_body("x = 1", "  (let x 1)\n");
    check_body("a, b = f(x)\n(a, b) = g(x)\na, b = b, a",
               "  (let a b (call f x))\n  (let a b (call g x))\n  (let a b (tuple b a))\n");
    check_body("return a, b", "  (return a b)\n");
    check_body("return (a, b)", "  (return a b)\n");
    check_body("return (a + b) * c", "  (return (* (+ a b) c))\n");
    check_body("param w: f32[class, hidden=units // 2] = normal(0, 0.01)",
               "  (param w f32[class hidden=(// units 2)] (call normal 0 0.01r))\n");
    check_body("state seen: f32[class] = 0\nseen <- seen + 1", "  (state seen f32[class] 0)\n  (<- seen (+ seen 1))\n");
    check_body("state count: f32 = 0", "  (state count f32 0)\n");
    check_body("axis hidden = planes // 4", "  (axis hidden (// planes 4))\n");
    check_body("log(x)", "  (do (call log x))\n");
    check_body("param = 1\nstate = param\naxis(state)\nloss, model = f()",
               "  (let param 1)\n  (let state param)\n  (do (call axis state))\n  (let loss model (call f))\n");
    check_body("if a { return 1 } else if b { x = 2 } else { x = 3 }",
               "  (if a\n    (return 1)\n  elif b\n    (let x 2)\n  else\n    (let x 3)\n  )\n");
    check_body("if a { }\nif (if b then c else d) { x = 1 }",
               "  (if a\n  )\n  (if (if b c d)\n    (let x 1)\n  )\n");
    check_body("for i in 0..3 { x = i }", "  (for i in (range 0 3)\n    (let x i)\n  )\n");
    check_body("for a, b in pairs { x = a }\nfor (a, in) in pairs { x = in }",
               "  (for a b in pairs\n    (let x a)\n  )\n  (for a in in pairs\n    (let x in)\n  )\n");
}

static void test_newlines(void **state) {
    (void)state;
    check_body("x = a +\n b\ny = (a\n + b\n)\nz = a\n |> f\n\n # note\n |> g\n",
               "  (let x (+ a b))\n  (let y (+ a b))\n  (let z (pipe g (pipe f a)))\n");
    check_body("if a {\n x = 1\n}\n\nelse {\n x = 2 }\ny = if a\n then b\n else c",
               "  (if a\n    (let x 1)\n  else\n    (let x 2)\n  )\n  (let y (if a b c))\n");
    check_body("x = a # comment ends here\n\r\n\r\ny = b\r", "  (let x a)\n  (let y b)\n");
    check_body("x = f(a,\n# note\n b)\n-x", "  (let x (call f a b))\n  (do (- x))\n");
}

static void test_declarations(void **state) {
    (void)state;
    check_dump("import \"a/b.fbl\"", "(import \"a/b.fbl\")\n");
    check_dump("\xEF\xBB\xBF" "const \xCE\xBB = 1", "(const \xCE\xBB 1)\n");
    check_dump("model m(image: f32[batch, channel=3], class, k: int = 5, s: string = \"a\", v: f32[] = 0,) -> (a, b) {}",
               "(model m (image:f32[batch channel=3] class k:int=5 s:string=\"a\" v:f32[]=0) -> a b\n)\n");
    check_dump("loss l(label: class[batch], lambda = 60) -> value { return lambda }",
               "(loss l (label:class[batch] lambda=60) -> value\n  (return lambda)\n)\n");
    check_dump("layer model(loss) { return loss }\n", "(layer model (loss)\n  (return loss)\n)\n");
    check_dump("train { loss = a\n model = b(k=2)\n stage two { epochs = 3 } }\ntrain fast { stage = 1\n}\n",
               "(train\n  (loss a)\n  (model (call b k=2))\n  (stage two\n    (epochs 3)\n  )\n)\n"
               "(train fast\n  (stage 1)\n)\n");
}

static void test_expression_alone(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblExpr *expr = NULL;
    assert_int_equal(fbl_parse_expression(ctx, fbl_source_add(ctx, "--set", "2 * 60", 6), &expr), FBL_OK);
    assert_int_equal(expr->kind, FBL_EXPR_BINARY);
    assert_int_equal(expr->binary.right->number.integer, 60);
    assert_int_equal(expr->binary.op_loc.begin, 2);
    assert_int_equal(fbl_parse_expression(ctx, fbl_source_add(ctx, "--set", "2 *", 3), &expr), FBL_USER);
    assert_int_equal(fbl_parse_expression(ctx, fbl_source_add(ctx, "--set", "a = 2", 5), &expr), FBL_USER);
    assert_int_equal(fbl_parse_expression(ctx, fbl_source_add(ctx, "--set", "", 0), &expr), FBL_USER);
    fbl_context_destroy(ctx);
}

static void test_places(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    const char *source = "fn f(x) {\n    y = x |> g(a=2) as c\n    return (y + 1) * 2\n}\n";
    FblAstFile *file = NULL;
    assert_int_equal(fbl_parse_source(ctx, fbl_source_add(ctx, "t.fbl", source, strlen(source)), &file), FBL_OK);
    const FblBlock *body = file->decls[0]->function.body;
    const FblExpr *pipe = body->stmts.items[0]->assign.value;
    assert_memory_equal(source + pipe->loc.begin, "x |> g(a=2) as c", pipe->loc.end - pipe->loc.begin);
    assert_int_equal(pipe->loc.end - pipe->loc.begin, strlen("x |> g(a=2) as c"));
    assert_memory_equal(source + pipe->call.callee.loc.begin, "g", 1);
    assert_memory_equal(source + pipe->call.args.items[1].loc.begin, "a=2", 3);
    const FblExpr *product = body->stmts.items[1]->results.items[0];
    assert_true(product->binary.left->parenthesised);
    assert_memory_equal(source + product->binary.left->loc.begin, "y + 1", 5);
    assert_memory_equal(source + product->binary.op_loc.begin, "*", 1);
    fbl_context_destroy(ctx);
}

static void test_identifiers(void **state) {
    (void)state;
    assert_true(fbl_is_identifier("\xCE\xB1")); // alpha
    assert_true(fbl_is_identifier("logit\xCC\x82_2"));
    assert_true(fbl_is_identifier("_x"));
    assert_true(fbl_is_identifier("loss"));
    assert_false(fbl_is_identifier("2x"));
    assert_false(fbl_is_identifier(""));
    assert_false(fbl_is_identifier("a b"));
    assert_false(fbl_is_identifier("if"));
    assert_false(fbl_is_identifier("a\xC3\x97")); // the multiplication sign
    assert_false(fbl_is_identifier("a\xFF"));
}

// The whole of the language's constructs and the library files parse.
static void test_files(void **state) {
    (void)state;
    const char *const paths[] = {"tests/frontend/language.fbl", "models/prelude.fbl", "models/losses.fbl"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        FblContext *ctx = fbl_context_create();
        FblAstFile *file = NULL;
        FblStatus status = fbl_parse_path(ctx, paths[i], &file);
        fbl_diag_flush(ctx, stderr, false);
        assert_int_equal(status, FBL_OK);
        fbl_context_destroy(ctx);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_literals),     cmocka_unit_test(test_precedence),
        cmocka_unit_test(test_calls),        cmocka_unit_test(test_tuples_and_lists),
        cmocka_unit_test(test_statements),   cmocka_unit_test(test_newlines),
        cmocka_unit_test(test_declarations), cmocka_unit_test(test_expression_alone),
        cmocka_unit_test(test_places),       cmocka_unit_test(test_identifiers),
        cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
