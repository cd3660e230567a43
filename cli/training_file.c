#include "cli/training_file.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "base/build_id.h"
#include "base/diag.h"
#include "base/io.h"
#include "ir/module_text.h"

#define SESSION_INDEX (2 * FBLX_CODE_STRIDE) // of a GPU's kernels around the train step, among the codes

// ---------------------------------------------------------------------------------------------------- writing

static char *meta_text(FblTraining *training) {
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "version", fbl_build_id(training->ctx));
    cJSON_AddStringToObject(root, "target", fbl_driver_identity(&training->driver));
    if (training->driver.cuda) {
        cJSON_AddNumberToObject(root, "gpus", (double)training->driver.passes.gpus);
        cJSON_AddStringToObject(root, "tiles", fbl_driver_cuda_tiles(training->ctx, training->driver.cuda));
    }
    cJSON_AddStringToObject(root, "name", training->name);
    if (training->stage) {
        cJSON_AddStringToObject(root, "stage", training->stage);
    }
    cJSON_AddNumberToObject(root, "classes", (double)training->class_extent);
    cJSON *settings = cJSON_AddArrayToObject(root, "settings");
    for (size_t i = 0; i < training->setting_count; i++) {
        cJSON *pair = cJSON_CreateArray();
        cJSON_AddItemToArray(pair, cJSON_CreateString(training->settings[i].key));
        cJSON_AddItemToArray(pair, cJSON_CreateString(training->settings[i].value));
        cJSON_AddItemToArray(settings, pair);
    }
    cJSON_AddNumberToObject(root, "prelude", training->sources.prelude);
    cJSON *imports = cJSON_AddArrayToObject(root, "imports");
    for (size_t i = 0; i < training->sources.link_count; i++) {
        const FblSourceLink *link = &training->sources.links[i];
        cJSON *row = cJSON_CreateArray();
        cJSON_AddItemToArray(row, cJSON_CreateNumber(link->from));
        cJSON_AddItemToArray(row, cJSON_CreateString(link->text));
        cJSON_AddItemToArray(row, cJSON_CreateNumber(link->to));
        cJSON_AddItemToArray(imports, row);
    }
    char *text = cJSON_Print(root);
    cJSON_Delete(root);
    if (!text) {
        fbl_out_of_memory();
    }
    return text;
}

typedef struct Entries {
    FblxEntry *items;
    size_t count, capacity;
} Entries;

static void add_entry(FblTraining *training, Entries *entries, FblxSection kind, uint32_t index, const void *data, size_t size) {
    FblxEntry entry = {kind, index, data, size};
    FBL_PUSH(fbl_context_arena(training->ctx), entries->items, entries->count, entries->capacity, entry);
}

static void add_code(FblTraining *training, Entries *entries, uint32_t index, const FblKernelCode *code) {
    uint8_t *bytes;
    size_t size;
    fbl_kernel_code_pack(code, &bytes, &size);
    void *kept = fbl_arena_strndup(fbl_context_arena(training->ctx), (const char *)bytes, size);
    free(bytes);
    add_entry(training, entries, FBLX_CODE, index, kept, size);
}

static void add_part(FblTraining *training, Entries *entries, const FblTrainingPart *part, uint32_t index) {
    if (!part->module) {
        return;
    }
    const char *module = fbl_module_print(part->module), *plan = fbl_plan_print(training->ctx, part->built.plan);
    add_entry(training, entries, FBLX_MODULE, index, module, strlen(module));
    add_entry(training, entries, FBLX_PLAN, index, plan, strlen(plan));
    for (size_t k = 0; k < part->built.plan->kernel_count; k++) {
        add_code(training, entries, index * FBLX_CODE_STRIDE + (uint32_t)k, &part->built.codes[k]);
    }
}

FblStatus fbl_training_write(FblTraining *training, const char *path) {
    Entries entries = {0};
    char *meta = meta_text(training);
    add_entry(training, &entries, FBLX_META, 0, meta, strlen(meta));
    add_part(training, &entries, &training->main, 0);
    add_part(training, &entries, &training->tail, 1);
    if (training->session.object) {
        add_code(training, &entries, SESSION_INDEX, &training->session);
    }
    for (size_t i = 0; i < training->sources.count; i++) {
        const FblSource *source = &training->sources.files[i];
        size_t path_size = strlen(source->path) + 1;
        char *bytes = fbl_arena_alloc(fbl_context_arena(training->ctx), path_size + source->length + 1);
        memcpy(bytes, source->path, path_size);
        memcpy(bytes + path_size, source->text, source->length);
        add_entry(training, &entries, FBLX_SOURCE, (uint32_t)i, bytes, path_size + source->length);
    }
    FblStatus status = fblx_write(training->ctx, path, entries.items, entries.count);
    free(meta);
    return status;
}

// ---------------------------------------------------------------------------------------------------- reading

static FblStatus damaged(FblTraining *training, const char *path, const char *what) {
    return fbl_error(training->ctx, "E0602", FBL_NO_LOC, "%s is damaged: %s", path, what);
}

static void read_settings(FblTraining *training, const cJSON *root) {
    const cJSON *settings = cJSON_GetObjectItemCaseSensitive(root, "settings"), *pair;
    size_t count = cJSON_IsArray(settings) ? (size_t)cJSON_GetArraySize(settings) : 0;
    training->settings = FBL_NEW_ARRAY(fbl_context_arena(training->ctx), FblSetting, count + 1);
    cJSON_ArrayForEach(pair, settings) {
        const cJSON *key = cJSON_GetArrayItem(pair, 0), *value = cJSON_GetArrayItem(pair, 1);
        if (cJSON_IsString(key) && cJSON_IsString(value)) {
            training->settings[training->setting_count++] = (FblSetting){fbl_intern(training->ctx, key->valuestring), fbl_intern(training->ctx, value->valuestring)};
        }
    }
}

// An index below `count`, or -1.
static int64_t index_in(const cJSON *number, size_t count) {
    double value = cJSON_IsNumber(number) ? number->valuedouble : -1;
    return value >= 0 && value < (double)count && value == (double)(int64_t)value ? (int64_t)value : -1;
}

static FblStatus read_sources(FblTraining *training, const char *path, const cJSON *root) {
    FblArena *arena = fbl_context_arena(training->ctx);
    size_t count = 0;
    while (count < UINT32_MAX && fblx_find(&training->file, FBLX_SOURCE, (uint32_t)count)) {
        count++;
    }
    FblSource *files = FBL_NEW_ARRAY(arena, FblSource, count + 1);
    for (size_t i = 0; i < count; i++) {
        const FblxEntry *entry = fblx_find(&training->file, FBLX_SOURCE, (uint32_t)i);
        const char *text = memchr(entry->data, 0, entry->size);
        if (!text) {
            return damaged(training, path, "a source has no name");
        }
        size_t used = (size_t)(text + 1 - (const char *)entry->data);
        files[i] = (FblSource){entry->data, text + 1, entry->size - used};
    }
    const cJSON *imports = cJSON_GetObjectItemCaseSensitive(root, "imports"), *row;
    size_t link_count = 0, rows = cJSON_IsArray(imports) ? (size_t)cJSON_GetArraySize(imports) : 0;
    FblSourceLink *links = FBL_NEW_ARRAY(arena, FblSourceLink, rows + 1);
    cJSON_ArrayForEach(row, imports) {
        int64_t from = index_in(cJSON_GetArrayItem(row, 0), count), to = index_in(cJSON_GetArrayItem(row, 2), count);
        const cJSON *text = cJSON_GetArrayItem(row, 1);
        if (from < 0 || to < 0 || !cJSON_IsString(text)) {
            return damaged(training, path, "an import leads nowhere");
        }
        links[link_count++] = (FblSourceLink){(uint32_t)from, (uint32_t)to, fbl_intern(training->ctx, text->valuestring)};
    }
    int64_t prelude = index_in(cJSON_GetObjectItemCaseSensitive(root, "prelude"), count);
    if (prelude < 0) {
        return damaged(training, path, "it holds no sources");
    }
    training->sources = (FblSourceBundle){files, count, links, link_count, (uint32_t)prelude};
    return FBL_OK;
}

static FblStatus read_meta(FblTraining *training, const char *path) {
    const FblxEntry *entry = fblx_find(&training->file, FBLX_META, 0);
    cJSON *root = entry ? cJSON_ParseWithLength(entry->data, entry->size) : NULL;
    if (!cJSON_IsObject(root)) {
        cJSON_Delete(root);
        return damaged(training, path, "it does not say what it holds");
    }
    const cJSON *stage = cJSON_GetObjectItemCaseSensitive(root, "stage");
    const cJSON *classes = cJSON_GetObjectItemCaseSensitive(root, "classes");
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(root, "name");
    read_settings(training, root);
    training->stage = cJSON_IsString(stage) ? fbl_intern(training->ctx, stage->valuestring) : NULL;
    training->name = cJSON_IsString(name) ? fbl_intern(training->ctx, name->valuestring) : training->name;
    bool known = cJSON_IsNumber(classes) && classes->valuedouble >= 0 && classes->valuedouble <= INT32_MAX;
    training->class_extent = known ? (int64_t)classes->valuedouble : 0;
    FblStatus status = read_sources(training, path, root);
    cJSON_Delete(root);
    return status;
}

static FblStatus read_module(FblTraining *training, const char *path, uint32_t index, FblModule **out_module) {
    const FblxEntry *entry = fblx_find(&training->file, FBLX_MODULE, index);
    *out_module = NULL;
    if (!entry) {
        return index == 0 ? damaged(training, path, "it holds no program") : FBL_OK;
    }
    const char *name = fbl_arena_printf(fbl_context_arena(training->ctx), "%s(program %u)", path, index);
    uint32_t file = fbl_source_add(training->ctx, name, entry->data, entry->size);
    return fbl_module_read(training->ctx, file, out_module);
}

// A setting that only changes numbers which enter at run time.
static FblStatus apply_setting(FblTraining *training, const FblSetting *setting) {
    char *end;
    double value = strtod(setting->value, &end);
    const char *key = strncmp(setting->key, "train.", 6) == 0 ? setting->key + 6 : setting->key;
    bool number = end != setting->value && *end == 0, known = false;
    FblModule *modules[2] = {training->main.module, training->tail.module};
    for (int m = 0; m < 2 && number && modules[m]; m++) {
        for (size_t i = 0; i < modules[m]->hyper_count; i++) {
            if (strcmp(modules[m]->hypers[i].name, key) == 0) {
                modules[m]->hypers[i].value = value;
                known = true;
            }
        }
        if (strcmp(key, "optimizer.weight_decay") == 0) { // groups have copies; those of their own value keep it
            for (size_t g = 1; g < modules[m]->recipe.group_count; g++) {
                FblOptimizerGroup *group = &modules[m]->recipe.groups[g];
                group->weight_decay = group->weight_decay == modules[m]->recipe.groups[0].weight_decay ? value : group->weight_decay;
            }
            modules[m]->recipe.groups[0].weight_decay = value;
        }
        if (strcmp(key, "epochs") == 0 && value >= 1 && value <= 1e9) {
            modules[m]->recipe.epochs = (int64_t)value;
            known = true;
        }
        if (strcmp(key, "seed") == 0 && value >= 0 && value <= 9007199254740992.0) {
            modules[m]->recipe.seed = (uint64_t)value;
            known = true;
        }
    }
    if (known) {
        return FBL_OK;
    }
    FblDiag *diag = fbl_diag(training->ctx, FBL_ERROR, "E0604", FBL_NO_LOC, "`%s` cannot be set in a compiled program", setting->key);
    fbl_diag_hint(training->ctx, diag, "numbers of the loss and the optimizer, epochs and seed can; compile again for others");
    return FBL_USER;
}

FblStatus fbl_training_apply_options(FblTraining *training) {
    FblBuildOptions options = fbl_cli_build_options(training->cli);
    for (size_t i = 0; i < options.setting_count; i++) {
        FBL_TRY(apply_setting(training, &options.settings[i]));
    }
    if (options.batch > 0 && options.batch != training->main.module->recipe.batch) {
        FBL_TRY(apply_setting(training, &(FblSetting){"batch", "?"}));
    }
    if (options.has_seed) {
        training->main.module->recipe.seed = options.seed;
        if (training->tail.module) {
            training->tail.module->recipe.seed = options.seed;
        }
    }
    return FBL_OK;
}

FblStatus fbl_training_read_file(FblTraining *training, const char *path) {
    FBL_TRY(read_meta(training, path));
    FBL_TRY(read_module(training, path, 0, &training->main.module));
    FBL_TRY(read_module(training, path, 1, &training->tail.module));
    return fbl_training_apply_options(training);
}

void fbl_training_file_target(FblTraining *training) {
    const FblxEntry *entry = fblx_find(&training->file, FBLX_META, 0);
    cJSON *root = entry ? cJSON_ParseWithLength(entry->data, entry->size) : NULL;
    const cJSON *target = cJSON_GetObjectItemCaseSensitive(root, "target");
    FblPassOptions *passes = &training->cli->passes, fresh = fbl_options_default();
    int arch;
    char precision[8], gemm[8] = "";
    const cJSON *gpus = cJSON_GetObjectItemCaseSensitive(root, "gpus");
    training->file_gpus = cJSON_IsNumber(gpus) && gpus->valuedouble >= 1 && gpus->valuedouble < 1000 ? (int64_t)gpus->valuedouble : 1;
    // The options' default texts are constants, so equal addresses mean that nobody chose.
    if (cJSON_IsString(target) && passes->target == fresh.target && sscanf(target->valuestring, "cuda sm_%d %7s %7s", &arch, precision, gemm) >= 2) {
        passes->target = "cuda";
        if (passes->precision == fresh.precision) {
            passes->precision = fbl_arena_strndup(fbl_context_arena(training->ctx), precision, strlen(precision));
        }
        passes->gpus = passes->gpus == fresh.gpus ? training->file_gpus : passes->gpus;
        if (passes->gemm == fresh.gemm && (strcmp(gemm, "wgmma") == 0 || strcmp(gemm, "tma") == 0)) {
            passes->gemm = strcmp(gemm, "tma") == 0 ? "tma" : "wgmma";
        }
    }
    // "... bf16" and "... bf16-emulated" end the name of a CPU.
    const char *bf16 = cJSON_IsString(target) ? strstr(target->valuestring, " bf16") : NULL;
    if (bf16 && strncmp(target->valuestring, "cuda", 4) != 0 && passes->target == fresh.target && passes->precision == fresh.precision) {
        passes->precision = "bf16";
        passes->emulate_bf16 |= strcmp(bf16, " bf16-emulated") == 0;
    }
    cJSON_Delete(root);
}

FblStatus fbl_training_file_tiles(FblTraining *training, const char *path) {
    FblDriverCuda *cuda = training->driver.cuda;
    const FblxEntry *entry = fblx_find(&training->file, FBLX_META, 0);
    if (!cuda || !entry || *training->driver.passes.tune_file || strcmp(training->driver.passes.tune, "off") == 0) {
        return FBL_OK;
    }
    cJSON *root = cJSON_ParseWithLength(entry->data, entry->size);
    const cJSON *target = cJSON_GetObjectItemCaseSensitive(root, "target"), *tiles = cJSON_GetObjectItemCaseSensitive(root, "tiles");
    size_t length = strlen(cuda->target);
    bool same = cJSON_IsString(target) && cJSON_IsString(tiles) && strncmp(target->valuestring, cuda->target, length) == 0 &&
                (target->valuestring[length] == 0 || target->valuestring[length] == ' ');
    FblStatus status = same ? fbl_driver_cuda_use_tiles(training->ctx, cuda, path, tiles->valuestring) : FBL_OK;
    cJSON_Delete(root);
    return status;
}

static bool same_target(FblTraining *training) {
    const FblxEntry *entry = fblx_find(&training->file, FBLX_META, 0);
    cJSON *root = cJSON_ParseWithLength(entry->data, entry->size);
    const cJSON *target = cJSON_GetObjectItemCaseSensitive(root, "target"), *version = cJSON_GetObjectItemCaseSensitive(root, "version");
    bool same = cJSON_IsString(target) && strcmp(target->valuestring, fbl_driver_identity(&training->driver)) == 0 &&
                cJSON_IsString(version) && strcmp(version->valuestring, fbl_build_id(training->ctx)) == 0;
    cJSON_Delete(root);
    return same;
}

static FblStatus take_code(FblTraining *training, FblTrainingPart *part, uint32_t index, const char *path) {
    const FblxEntry *entry = fblx_find(&training->file, FBLX_PLAN, index);
    if (!entry) {
        return damaged(training, path, "it holds no plan");
    }
    const char *name = fbl_arena_printf(fbl_context_arena(training->ctx), "%s(plan %u)", path, index);
    uint32_t file = fbl_source_add(training->ctx, name, entry->data, entry->size);
    FblPlan *plan;
    FBL_TRY(fbl_plan_read(training->ctx, file, &plan));
    FBL_TRY(fbl_plan_verify(training->ctx, plan));
    part->built = (FblBuilt){.plan = plan, .codes = calloc(plan->kernel_count + 1, sizeof(FblKernelCode))};
    if (!part->built.codes) {
        fbl_out_of_memory();
    }
    for (size_t k = 0; k < plan->kernel_count; k++) {
        const FblxEntry *code = fblx_find(&training->file, FBLX_CODE, index * FBLX_CODE_STRIDE + (uint32_t)k);
        if (!code || !fbl_kernel_code_unpack(code->data, code->size, &part->built.codes[k])) {
            return damaged(training, path, "code of a kernel is missing");
        }
        part->built.cached++;
    }
    const FblxEntry *session = fblx_find(&training->file, FBLX_CODE, SESSION_INDEX);
    if (index == 0 && training->driver.cuda && session && !fbl_kernel_code_unpack(session->data, session->size, &training->session)) {
        return damaged(training, path, "code of a kernel is missing");
    }
    return FBL_OK;
}

FblStatus fbl_training_file_code(FblTraining *training, FblTrainingPart *part, uint32_t index, const char *path) {
    if (same_target(training) && strcmp(training->driver.passes.tune, "search") != 0) {
        return take_code(training, part, index, path);
    }
    if (index == 0) {
        fprintf(stderr, "%s was compiled for another processor or by another build; compiling it for this one (%s)\n", path,
                fbl_driver_identity(&training->driver));
    }
    FblLowerOptions options = fbl_driver_lower_options(&training->driver);
    options.with_train = part->module->train != NULL;
    options.with_eval = index == 0 && part->module->eval;
    options.with_optimizer = index == 0 && part->module->optimizer;
    return fbl_driver_compile(&training->driver, part->module, &options, &part->built);
}

// ---------------------------------------------------------------------------------------------------- folders

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

// The file name under which source `index` is kept: its own, with the index before it where an earlier one is called so too.
static const char *kept_name(FblTraining *training, size_t index) {
    const char *name = base_name(training->sources.files[index].path);
    for (size_t i = 0; i < index; i++) {
        if (strcmp(base_name(training->sources.files[i].path), name) == 0) {
            return fbl_arena_printf(fbl_context_arena(training->ctx), "%zu_%s", index, name);
        }
    }
    return name;
}

static FblStatus write_sources(FblTraining *training, const char *folder) {
    for (size_t i = 0; i < training->sources.count; i++) {
        const char *path = fbl_path_join(training->ctx, folder, kept_name(training, i));
        FblSpan span = {training->sources.files[i].text, training->sources.files[i].length};
        FBL_TRY(fbl_write_file_atomic(training->ctx, path, &span, 1));
    }
    return FBL_OK;
}

const char *fbl_training_recipe_text(FblTraining *training) {
    FblArena *arena = fbl_context_arena(training->ctx);
    const FblModule *module = training->main.module;
    const char *text = fbl_arena_printf(arena, "program %s%s%s\n", training->name, training->stage ? ", stage " : "", training->stage ? training->stage : "");
    for (size_t i = 0; i < training->setting_count; i++) {
        text = fbl_arena_printf(arena, "%sset %s=%s\n", text, training->settings[i].key, training->settings[i].value);
    }
    text = fbl_arena_printf(arena, "%sloss %s\nbatch %lld\nepochs %lld\nseed %llu\n", text, module->recipe.loss_name ? module->recipe.loss_name : "-",
                            (long long)module->recipe.batch, (long long)module->recipe.epochs, (unsigned long long)module->recipe.seed);
    for (size_t i = 0; i < module->hyper_count; i++) {
        text = fbl_arena_printf(arena, "%s%s %.17g\n", text, module->hypers[i].name, module->hypers[i].value);
    }
    if (training->train.description) {
        text = fbl_arena_printf(arena, "%strain %s\n", text, training->train.description);
    }
    if (training->test.description) {
        text = fbl_arena_printf(arena, "%stest %s\n", text, training->test.description);
    }
    return fbl_arena_printf(arena, "%shash %s\n", text, training->recipe_hash);
}

static FblStatus write_text(FblTraining *training, const char *run_dir, const char *name, const char *text) {
    FblSpan span = {text, strlen(text)};
    return fbl_write_file_atomic(training->ctx, fbl_path_join(training->ctx, run_dir, name), &span, 1);
}

static FblStatus write_environment(FblTraining *training, const char *run_dir) {
    struct utsname system;
    memset(&system, 0, sizeof system);
    uname(&system);
    const char *text = fbl_arena_printf(fbl_context_arena(training->ctx), "fblc %s\ntarget %s\ngpus %lld\nsystem %s %s %s\nhost %s\nthreads %d of %d cores\n", fbl_build_id(training->ctx),
                                        fbl_driver_identity(&training->driver), (long long)(training->driver.cuda ? training->driver.passes.gpus : 0), system.sysname, system.release, system.machine, system.nodename,
                                        training->driver.threads, fbl_cpu_count());
    return write_text(training, run_dir, "environment.txt", text);
}

// Renames a run that is in the way to RUN_DIR.1, RUN_DIR.2, ...
static FblStatus move_aside(FblTraining *training, const char *run_dir) {
    for (int n = 1; n < 10000; n++) {
        const char *to = fbl_arena_printf(fbl_context_arena(training->ctx), "%s.%d", run_dir, n);
        if (!fbl_path_exists(to)) {
            if (rename(run_dir, to) != 0) {
                break;
            }
            fprintf(stderr, "%s held a run already; it is now %s (to go on with a run: --resume)\n", run_dir, to);
            return FBL_OK;
        }
    }
    fbl_error(training->ctx, "E0902", FBL_NO_LOC, "%s holds a run already and cannot be moved aside", run_dir);
    return FBL_IO;
}

const char *fbl_training_program_path(FblContext *ctx, const char *run_dir, const char *stage) {
    const char *name = stage && *stage ? fbl_arena_printf(fbl_context_arena(ctx), "program.%s.fblx", stage) : "program.fblx";
    return fbl_path_join(ctx, run_dir, name);
}

FblStatus fbl_training_run_dir(FblTraining *training, const char *run_dir, bool resume) {
    size_t length = strlen(run_dir);
    while (length > 1 && run_dir[length - 1] == '/') {
        length--;
    }
    run_dir = fbl_arena_strndup(fbl_context_arena(training->ctx), run_dir, length);
    bool begun = fbl_checkpoint_exists(training->ctx, run_dir);
    if (begun && resume) {
        return FBL_OK; // what is there describes the run; the trainer refuses to go on with another one
    }
    if (begun) {
        FBL_TRY(move_aside(training, run_dir));
    }
    if (resume && !training->cli->quiet) {
        fprintf(stderr, "%s holds no checkpoint to resume: the run begins\n", run_dir);
    }
    const char *sources = fbl_path_join(training->ctx, run_dir, "source");
    FBL_TRY(fbl_make_dirs(training->ctx, sources));
    FBL_TRY(write_sources(training, sources));
    FBL_TRY(write_text(training, run_dir, "recipe.txt", training->recipe_text));
    FBL_TRY(write_environment(training, run_dir));
    return fbl_training_write(training, fbl_path_join(training->ctx, run_dir, "program.fblx"));
}

FblStatus fbl_training_open_run(FblCli *cli, const char *run_dir, int needs, FblTraining *training) {
    const char *program = fbl_path_join(cli->ctx, run_dir, "program.fblx");
    if (!fbl_path_exists(program)) {
        FblDiag *diag = fbl_diag(cli->ctx, FBL_ERROR, "E0707", FBL_NO_LOC, "%s is not the folder of a run: it has no program.fblx", run_dir);
        fbl_diag_hint(cli->ctx, diag, "name the folder that `fblc run` was given with --out");
        return FBL_USER;
    }
    FblCheckpointInfo info;
    FblTensorFile file;
    const char *path;
    FBL_TRY(fbl_checkpoint_open(cli->ctx, run_dir, cli->last ? FBL_CHECKPOINT_LAST : FBL_CHECKPOINT_BEST, &info, &file, &path));
    if (info.stage > 0) { // the stage that the checkpoint is of has a program of its own
        program = fbl_training_program_path(cli->ctx, run_dir, info.stage_name);
    }
    FblStatus status = fbl_training_open_stage(cli, program, NULL, needs | FBL_TRAINING_CODE | FBL_TRAINING_MEMORY | FBL_TRAINING_NO_TRAIN, training);
    FblTrainPrograms programs = fbl_training_programs(training);
    status = status == FBL_OK ? fbl_train_load_checkpoint(cli->ctx, &programs, &file, path) : status;
    fbl_tensor_file_deinit(&file);
    if (status == FBL_OK && !cli->quiet) {
        long long epoch = (long long)(info.first_epoch + info.epoch) + (info.epoch_step ? 1 : 0);
        fprintf(stderr, "%s: %s epoch %lld, step %lld\n", path, info.epoch_step ? "in" : "after", epoch, (long long)(info.first_step + info.step));
    }
    return status;
}
