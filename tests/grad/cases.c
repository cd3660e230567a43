#include "cases.h"

#define X "%0 = input() {symbol=\"x\"} : f32[a=3, b=5]\n"
#define Y "%1 = input() {symbol=\"y\"} : f32[b=5, c=2]\n"
#define UNARY(op)                                                                                                      \
    { op, X "%1 = " op "(%0) : f32[a=3, b=5]\n output y = %1\n" }
// On e^x: for functions of positive numbers.
#define POSITIVE(op)                                                                                                   \
    { op, X "%1 = exp(%0) : f32[a=3, b=5]\n %2 = " op "(%1) : f32[a=3, b=5]\n output y = %2\n" }
#define BINARY(op)                                                                                                     \
    { op, X Y "%2 = " op "(%0, %1) : f32[a=3, b=5, c=2]\n output y = %2\n" }

#define IMAGE "%0 = input() {symbol=\"x\"} : f32[batch=2, channel=4, height=7, width=5]\n"
#define CONV_ATTR(sh, sw, ph, pw, dh, dw, g)                                                                           \
    " {axes=[batch, channel, height, width], stride_h=" #sh ", stride_w=" #sw ", pad_h=" #ph ", pad_w=" #pw            \
    ", dilation_h=" #dh ", dilation_w=" #dw ", groups=" #g "}"
#define POOL_ATTR(kh, kw, sh, sw, ph, pw, count)                                                                       \
    " {axes=[height, width], kernel_h=" #kh ", kernel_w=" #kw ", stride_h=" #sh ", stride_w=" #sw ", pad_h=" #ph       \
    ", pad_w=" #pw ", count_pad=" #count "}"

const GradCase GRAD_CASES[] = {
    UNARY("neg"),
    UNARY("abs"),
    UNARY("exp"),
    UNARY("expm1"),
    POSITIVE("log"),
    POSITIVE("log1p"),
    POSITIVE("sqrt"),
    UNARY("sin"),
    UNARY("cos"),
    UNARY("tanh"),
    UNARY("sigmoid"),
    UNARY("erf"),
    UNARY("cast"),
    BINARY("add"),
    BINARY("sub"),
    BINARY("mul"),
    BINARY("div"),
    BINARY("min"),
    BINARY("max"),
    {"square", X "%1 = mul(%0, %0) : f32[a=3, b=5]\n output y = %1\n"},
    {"mod", X Y "%2 = exp(%1) : f32[b=5, c=2]\n %3 = mod(%0, %2) : f32[a=3, b=5, c=2]\n output y = %3\n"},
    {"pow, both variable",
     X Y "%2 = exp(%0) : f32[a=3, b=5]\n %3 = pow(%2, %1) : f32[a=3, b=5, c=2]\n output y = %3\n"},
    {"pow, 3 of negative numbers",
     X "%1 = const() {value=3} : f32\n %2 = pow(%0, %1) : f32[a=3, b=5]\n output y = %2\n"},
    {"pow, 2", X "%1 = const() {value=2} : f32\n %2 = pow(%0, %1) : f32[a=3, b=5]\n output y = %2\n"},
    {"pow, 1", X "%1 = const() {value=1} : f32\n %2 = pow(%0, %1) : f32[a=3, b=5]\n output y = %2\n"},
    {"pow, 0", X "%1 = const() {value=0} : f32\n %2 = pow(%0, %1) : f32[a=3, b=5]\n output y = %2\n"},
    {"pow, -2", X "%1 = const() {value=-2} : f32\n %2 = pow(%0, %1) : f32[a=3, b=5]\n output y = %2\n"},
    {"pow, constant base", X "%1 = const() {value=2.5} : f32\n %2 = pow(%1, %0) : f32[a=3, b=5]\n output y = %2\n"},
    {"select",
     X Y "%2 = input() {symbol=\"c\"} : bool[c=2]\n %3 = select(%2, %0, %1) : f32[c=2, a=3, b=5]\n output y = %3\n"},
    {"select by value", X "%1 = const() {value=0} : f32\n %2 = le(%0, %1) : bool[a=3, b=5]\n"
                          "%3 = select(%2, %1, %0) : f32[a=3, b=5]\n output y = %3\n"},
    {"broadcast", X "%1 = broadcast(%0) : f32[c=2, b=5, a=3]\n output y = %1\n"},
    {"bool in arithmetic",
     X "%1 = input() {symbol=\"c\"} : bool[b=5]\n %2 = mul(%1, %0) : f32[b=5, a=3]\n output y = %2\n"},
    {"sum", X "%1 = sum(%0) {axes=[a]} : f32[b=5]\n output y = %1\n"},
    {"sum, all", X "%1 = sum(%0) {axes=[b, a]} : f32\n output y = %1\n"},
    {"reduce_max", X "%1 = reduce_max(%0) {axes=[b]} : f32[a=3]\n output y = %1\n"},
    {"reduce_min", X "%1 = reduce_min(%0) {axes=[a, b]} : f32\n output y = %1\n"},
    {"extremum over one element",
     "%0 = input() {symbol=\"x\"} : f32[a=3, b=1]\n %1 = reduce_max(%0) {axes=[b]} : f32[a=3]\n output y = %1\n"},
    {"contract", X Y "%2 = contract(%0, %1) {axes=[b]} : f32[a=3, c=2]\n output y = %2\n"},
    {"contract with a kept axis",
     "%0 = input() {symbol=\"x\"} : f32[batch=2, i=3, k=4]\n %1 = input() {symbol=\"y\"} : f32[k=4, j=5, batch=2]\n"
     "%2 = contract(%0, %1) {axes=[k]} : f32[batch=2, i=3, j=5]\n output y = %2\n"},
    {"contract, one side without outer axes",
     X "%1 = input() {symbol=\"y\"} : f32[b=5]\n %2 = contract(%0, %1) {axes=[b]} : f32[a=3]\n output y = %2\n"},
    {"contract over two axes", X "%1 = input() {symbol=\"y\"} : f32[b=5, c=2, a=3]\n %2 = contract(%0, %1) {axes=[a, "
                                 "b]} : f32[c=2]\n output y = %2\n"},
    {"contract with itself", X "%1 = contract(%0, %0) {axes=[a]} : f32[b=5]\n output y = %1\n"},

    {"conv2d 1x1", IMAGE "%1 = input() {symbol=\"w\"} : f32[out=3, channel=4, kh=1, kw=1]\n"
                         "%2 = conv2d(%0, %1)" CONV_ATTR(
                             1, 1, 0, 0, 1, 1, 1) " : f32[batch=2, channel=3, height=7, width=5]\n output y = %2\n"},
    {"conv2d 3x3, pad",
     IMAGE "%1 = input() {symbol=\"w\"} : f32[out=3, channel=4, kh=3, kw=3]\n"
           "%2 = conv2d(%0, %1)" CONV_ATTR(1, 1, 1, 1, 1, 1,
                                           1) " : f32[batch=2, channel=3, height=7, width=5]\n output y = %2\n"},
    {"conv2d, stride, uneven",
     IMAGE "%1 = input() {symbol=\"w\"} : f32[out=3, channel=4, kh=3, kw=2]\n"
           "%2 = conv2d(%0, %1)" CONV_ATTR(2, 3, 1, 0, 1, 1,
                                           1) " : f32[batch=2, channel=3, height=4, width=2]\n output y = %2\n"},
    {"conv2d, dilation",
     IMAGE "%1 = input() {symbol=\"w\"} : f32[out=3, channel=4, kh=3, kw=2]\n"
           "%2 = conv2d(%0, %1)" CONV_ATTR(1, 1, 2, 1, 2, 3,
                                           1) " : f32[batch=2, channel=3, height=7, width=4]\n output y = %2\n"},
    {"conv2d, groups",
     IMAGE "%1 = input() {symbol=\"w\"} : f32[out=6, channel=2, kh=2, kw=3]\n"
           "%2 = conv2d(%0, %1)" CONV_ATTR(2, 1, 1, 1, 1, 1,
                                           2) " : f32[batch=2, channel=6, height=4, width=5]\n output y = %2\n"},
    {"conv2d, depthwise",
     IMAGE "%1 = input() {symbol=\"w\"} : f32[out=4, channel=1, kh=3, kw=3]\n"
           "%2 = conv2d(%0, %1)" CONV_ATTR(1, 1, 1, 1, 1, 1,
                                           4) " : f32[batch=2, channel=4, height=7, width=5]\n output y = %2\n"},
    {"conv2d, one pixel", "%0 = input() {symbol=\"x\"} : f32[batch=1, channel=1, height=1, width=1]\n"
                          "%1 = input() {symbol=\"w\"} : f32[out=1, channel=1, kh=3, kw=3]\n"
                          "%2 = conv2d(%0, %1)" CONV_ATTR(
                              1, 1, 1, 1, 1, 1, 1) " : f32[batch=1, channel=1, height=1, width=1]\n output y = %2\n"},
    {"conv2d of a transposed image",
     "%0 = input() {symbol=\"x\"} : f32[channel=4, height=5, batch=2, width=3]\n"
     "%1 = input() {symbol=\"w\"} : f32[out=3, channel=4, kh=3, kw=3]\n"
     "%2 = conv2d(%0, %1)" CONV_ATTR(1, 1, 1, 1, 1, 1,
                                     1) " : f32[channel=3, height=5, batch=2, width=3]\n output y = %2\n"},
    {"conv2d_data_grad", "%0 = input() {symbol=\"g\"} : f32[batch=2, channel=6, height=4, width=5]\n"
                         "%1 = input() {symbol=\"w\"} : f32[out=6, channel=2, kh=2, kw=3]\n"
                         "%2 = conv2d_data_grad(%0, %1)" CONV_ATTR(
                             2, 1, 1, 1, 1, 1, 2) " : f32[batch=2, channel=4, height=7, width=5]\n output y = %2\n"},
    {"conv2d_weight_grad", IMAGE "%1 = input() {symbol=\"g\"} : f32[batch=2, channel=6, height=4, width=5]\n"
                                 "%2 = conv2d_weight_grad(%0, %1)" CONV_ATTR(
                                     2, 1, 1, 1, 1, 1, 2) " : f32[out=6, channel=2, kh=2, kw=3]\n output y = %2\n"},
    {"max_pool", IMAGE "%1 = max_pool(%0)" POOL_ATTR(
                     2, 3, 2, 1, 1, 1, 1) " : f32[batch=2, channel=4, height=4, width=5]\n output y = %1\n"},
    {"max_pool, rounded up",
     IMAGE "%1 = max_pool(%0)" POOL_ATTR(2, 2, 2, 2, 0, 0,
                                         1) " : f32[batch=2, channel=4, height=4, width=3]\n output y = %1\n"},
    {"max_pool_grad", IMAGE
     "%1 = max_pool_index(%0)" POOL_ATTR(2, 3, 2, 1, 1, 1,
                                         1) " : i32[batch=2, channel=4, height=4, width=5]\n"
                                            "%2 = input() {symbol=\"g\"} : f32[batch=2, channel=4, height=4, width=5]\n"
                                            "%3 = max_pool_grad(%2, %1)" POOL_ATTR(
                                                2, 3, 2, 1, 1, 1,
                                                1) " : f32[batch=2, channel=4, height=7, width=5]\n output y = %3\n"},
    {"avg_pool", IMAGE "%1 = avg_pool(%0)" POOL_ATTR(
                     3, 2, 2, 2, 1, 1, 1) " : f32[batch=2, channel=4, height=4, width=3]\n output y = %1\n"},
    {"avg_pool without padding counted",
     IMAGE "%1 = avg_pool(%0)" POOL_ATTR(3, 2, 2, 2, 1, 1,
                                         0) " : f32[batch=2, channel=4, height=4, width=3]\n output y = %1\n"},
    {"avg_pool, rounded up",
     IMAGE "%1 = avg_pool(%0)" POOL_ATTR(2, 2, 2, 2, 0, 0,
                                         1) " : f32[batch=2, channel=4, height=4, width=3]\n output y = %1\n"},
    {"avg_pool_grad", "%0 = input() {symbol=\"g\"} : f32[batch=2, channel=4, height=4, width=3]\n"
                      "%1 = avg_pool_grad(%0)" POOL_ATTR(
                          3, 2, 2, 2, 1, 1, 0) " : f32[batch=2, channel=4, height=7, width=5]\n output y = %1\n"},

    {"slice", X "%1 = slice(%0) {axis=b, start=1, step=2, count=2} : f32[a=3, b=2]\n output y = %1\n"},
    {"slice of one element", X "%1 = slice(%0) {axis=b, start=3, step=1, count=1} : f32[a=3, b=1]\n output y = %1\n"},
    {"slice backwards", X "%1 = slice(%0) {axis=b, start=4, step=-3, count=2} : f32[a=3, b=2]\n output y = %1\n"},
    {"flip", X "%1 = slice(%0) {axis=b, start=4, step=-1, count=5} : f32[a=3, b=5]\n output y = %1\n"},
    {"pad", X "%1 = pad(%0) {axis=a, low=2, high=1, interior=0, value=7} : f32[a=6, b=5]\n output y = %1\n"},
    {"pad between", X "%1 = pad(%0) {axis=a, low=1, high=0, interior=2, value=0} : f32[a=8, b=5]\n output y = %1\n"},
    {"concat", X "%1 = input() {symbol=\"y\"} : f32[b=5, a=1]\n %2 = concat(%0, %1, %0) {axes=[a]} : f32[a=7, b=5]\n "
                 "output y = %2\n"},
    {"rename", X "%1 = rename(%0) {from=[a, b], to=[b, c]} : f32[b=3, c=5]\n output y = %1\n"},
    {"rename, swapped",
     "%0 = input() {symbol=\"x\"} : f32[a=3, b=3]\n"
     "%1 = rename(%0) {from=[a, b], to=[b, a]} : f32[b=3, a=3]\n %2 = mul(%0, %1) : f32[a=3, b=3]\n output y = %2\n"},
    {"split", "%0 = input() {symbol=\"x\"} : f32[a=6, b=2]\n"
              "%1 = split(%0) {axis=a, to=[c, d]} : f32[c=3, d=2, b=2]\n output y = %1\n"},
    {"join", "%0 = input() {symbol=\"x\"} : f32[a=3, b=2, c=5]\n"
             "%1 = join(%0) {from=[c, a], to=d} : f32[b=2, d=15]\n output y = %1\n"},
    {"gather by label", "%0 = input() {symbol=\"x\"} : f32[batch=4, class=5]\n"
                        "%1 = input() {symbol=\"label\"} : i32<class=5>[batch=4]\n"
                        "%2 = gather(%0, %1) {axes=[class]} : f32[batch=4]\n output y = %2\n"},
    {"gather from a vector", "%0 = input() {symbol=\"x\"} : f32[class=5]\n"
                             "%1 = input() {symbol=\"label\"} : i32<class=5>[batch=7]\n"
                             "%2 = gather(%0, %1) {axes=[class]} : f32[batch=7]\n output y = %2\n"},
    {"gather along its own axis", "%0 = input() {symbol=\"x\"} : f32[batch=2, class=5]\n"
                                  "%1 = input() {symbol=\"index\"} : i32<class=5>[class=3, batch=2]\n"
                                  "%2 = gather(%0, %1) {axes=[class]} : f32[batch=2, class=3]\n output y = %2\n"},
    {"sort", "%0 = input() {symbol=\"x\"} : f32[batch=2, class=5]\n"
             "%1 = argsort(%0) {axis=class, descending=1} : i32<class=5>[batch=2, class=5]\n"
             "%2 = gather(%0, %1) {axes=[class]} : f32[batch=2, class=5]\n output y = %2\n"},
    {"sort by another's order", "%0 = input() {symbol=\"x\"} : f32[class=5]\n"
                                "%1 = input() {symbol=\"key\"} : f32[batch=3, class=5]\n"
                                "%2 = argsort(%1) {axis=class, descending=0} : i32<class=5>[batch=3, class=5]\n"
                                "%3 = gather(%0, %2) {axes=[class]} : f32[batch=3, class=5]\n output y = %3\n"},
    {"cumsum", X "%1 = cumsum(%0) {axes=[b]} : f32[a=3, b=5]\n output y = %1\n"},

    {"softmax cross-entropy",
     "%0 = input() {symbol=\"score\"} : f32[batch=4, class=5]\n"
     "%1 = input() {symbol=\"label\"} : i32<class=5>[batch=4]\n"
     "%2 = reduce_max(%0) {axes=[class]} : f32[batch=4]\n %3 = stop_gradient(%2) : f32[batch=4]\n"
     "%4 = sub(%0, %3) : f32[batch=4, class=5]\n %5 = exp(%4) : f32[batch=4, class=5]\n"
     "%6 = sum(%5) {axes=[class]} : f32[batch=4]\n %7 = log(%6) : f32[batch=4]\n %8 = add(%3, %7) : f32[batch=4]\n"
     "%9 = gather(%0, %1) {axes=[class]} : f32[batch=4]\n %10 = sub(%8, %9) : f32[batch=4]\n output y = %10\n"},
    {"batch normalisation", IMAGE
     "%1 = input() {symbol=\"weight\"} : f32[channel=4]\n %2 = input() {symbol=\"bias\"} : f32[channel=4]\n"
     "%3 = sum(%0) {axes=[batch, height, width]} : f32[channel=4]\n %4 = const() {value=70} : f32\n"
     "%5 = div(%3, %4) : f32[channel=4]\n %6 = sub(%0, %5) : f32[batch=2, channel=4, height=7, width=5]\n"
     "%7 = mul(%6, %6) : f32[batch=2, channel=4, height=7, width=5]\n"
     "%8 = sum(%7) {axes=[batch, height, width]} : f32[channel=4]\n %9 = div(%8, %4) : f32[channel=4]\n"
     "%10 = const() {value=0.00001} : f32\n %11 = add(%9, %10) : f32[channel=4]\n %12 = sqrt(%11) : f32[channel=4]\n"
     "%13 = div(%1, %12) : f32[channel=4]\n %14 = sub(%0, %5) : f32[batch=2, channel=4, height=7, width=5]\n"
     "%15 = mul(%14, %13) : f32[batch=2, channel=4, height=7, width=5]\n"
     "%16 = add(%15, %2) : f32[batch=2, channel=4, height=7, width=5]\n output y = %16\n"},
    {0},
};
