/* cmd_headload_top.c - the pictures that use a head most. */
#include "base/memory.h"
#include "tools/program/command.h"
#include "tools/program/complain.h"
#include "tools/program/head_load_choice.h"
#include "tools/program/json_build.h"
#include "tools/program/output.h"
#include "tools/program/pictures_again.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "[OPTION ...] FILE\n"
    "Lists the pictures that use each routed head most, by how many of their tokens selected the head.\n"
    "FILE is what \"headload count --per-image\" wrote. Of pictures with equally many tokens, the one\n"
    "with the lower hash comes first; pictures without such a token are left out. The pictures are read\n"
    "again where they were. Those that have changed since are named, and the exit status is then 1.\n\n"
    "  --block S.B      the heads of this block, or of \"all\"; default: the last that routes; all for\n"
    "                   csv and json\n"
    "  --pictures N     pictures for each head: 1 to 1000; default 9\n"
    "  --format FORMAT  text (default), csv or json: one line\n"
    "  -h, --help       show this\n\n"
    "r1 is the first routed head of a block; in csv and json, \"head\" counts from 0, shared heads first.\n"
    "load is the part of the picture's tokens that selected the head, index the picture's place in the\n"
    "data, from 0, and xxh64 the hash of its bytes, as xxh64sum prints it.\n";

typedef struct top_options {
    output_format format;
    const char *block;
    size_t pictures;
} top_options;

/* A picture of a head. */
typedef struct row {
    const per_image *from;
    const routing_block *block;
    size_t head, rank, picture;
} row;

static int32_t active(const row *r)
{
    return per_image_active(r->from, r->picture, r->block->index, r->head);
}

static double load(const row *r)
{
    return (double)active(r) / (double)r->block->tokens;
}

/* NULL: the picture has no class. */
static const char *class_name(const row *r)
{
    int64_t c = r->from->class_of[r->picture];
    return c < 0 ? NULL : r->from->names.name[c];
}

/* malloc'd. In the file names are as results write them, so that backslashes are not doubled again. */
static char *picture_name(const row *r)
{
    char *name = or_die(per_image_name(r->from, r->picture)), *safe = escape(name, ESCAPE_CONTROLS, NULL);
    free(name);
    return safe;
}

/* malloc'd; NULL: the file has none. */
static char *hash_text(const row *r)
{
    char *text;
    if (!r->from->xxh64)
        return NULL;
    int printed = asprintf(&text, "%016" PRIx64, (uint64_t)r->from->xxh64[r->picture]);
    return or_die(printed < 0 ? NULL : text);
}

// ---- Printing --------------------------------------------------------------------------------------

static void print_text(const row *r)
{
    char name[ROUTING_HEAD_NAME], *path = picture_name(r);
    routing_head_name(name, r->block, r->head);
    if (!r->rank)
        output_printf("%sblock %s, head %s\n", r->head > r->block->shared ? "\n" : "", r->block->name, name);
    output_printf("  %.3f  ", load(r));
    output_name_padded(class_name(r) ? class_name(r) : "-", 24);
    output_printf("  %s\n", path);
    free(path);
}

static void print_csv(const row *r)
{
    char *path = picture_name(r), *hash = hash_text(r);
    int64_t c = r->from->class_of[r->picture];
    output_printf("%zu,%zu,%zu,%zu,%d,%.9g,%lld,", r->block->stage, r->block->block, r->head, r->rank + 1,
                  active(r), load(r), (long long)r->from->index[r->picture]);
    if (c >= 0)
        output_printf("%lld", (long long)c);
    output_printf(",");
    output_csv_field(class_name(r) ? class_name(r) : "");
    output_printf(",");
    path = csv_field(path);
    output_printf("%s,%s\n", path, hash ? hash : "");
    free(path);
    free(hash);
}

static void print_json(const row *r)
{
    char *path = picture_name(r), *hash = hash_text(r);
    int64_t c = r->from->class_of[r->picture];
    output_json_part(or_die(json_pack(
        "{s:I, s:I, s:I, s:I, s:i, s:f, s:I, s:o, s:o, s:o, s:o}", "stage", (json_int_t)r->block->stage,
        "block", (json_int_t)r->block->block, "head", (json_int_t)r->head, "rank", (json_int_t)r->rank + 1,
        "active", (int)active(r), "load", load(r), "index", (json_int_t)r->from->index[r->picture], "class",
        c < 0 ? json_null() : json_integer(c), "label", json_text(class_name(r)), "path", json_message(path),
        "xxh64", json_text(hash))));
    free(path);
    free(hash);
}

// ---- Walking ---------------------------------------------------------------------------------------

/* listed (pictures): notes those that are printed. */
static void print_head(const top_options *o, row *r, size_t *top, bool *listed, bool *first)
{
    size_t count = per_image_top(top, o->pictures, r->from, r->block->index, r->head);
    for (r->rank = 0; r->rank < count; r->rank++) {
        r->picture = top[r->rank];
        listed[r->picture] = true;
        if (o->format == FORMAT_JSON) {
            output_printf("%s", *first ? "" : ",");
            print_json(r);
        } else if (o->format == FORMAT_CSV) {
            print_csv(r);
        } else {
            print_text(r);
        }
        *first = false;
    }
}

/* only NULL: all blocks that route. */
static void print_all(const per_image *p, const top_options *o, const routing_block *only, bool *listed)
{
    bool first = true;
    size_t *top = or_die(memory_alloc(o->pictures, sizeof *top));
    if (o->format == FORMAT_JSON)
        output_printf("{\"rows\":[");
    if (o->format == FORMAT_CSV)
        output_printf("stage,block,head,rank,active,load,index,class,label,path,xxh64\n");
    for (size_t b = 0; b < p->routing.count; b++) {
        row r = {.from = p, .block = &p->routing.blocks[b]};
        bool shown = only ? only == r.block : routing_routes(r.block);
        for (r.head = r.block->shared; shown && output_works() && r.head < r.block->heads; r.head++)
            print_head(o, &r, top, listed, &first);
    }
    if (o->format == FORMAT_JSON) {
        output_printf("],\"provenance\":");
        output_json_part(json_incref(p->provenance));
        output_printf("}\n");
    }
    free(top);
}

// ---- Are they what they were? ----------------------------------------------------------------------

typedef struct checking {
    size_t listed, unread, changed;
} checking;

static mohvit_status check_picture(void *user, size_t picture, const char *name, const sample *s,
                                   mohvit_error *why)
{
    (void)picture, (void)name;
    checking *c = user;
    c->listed++;
    if (!s && why->status == MOHVIT_ERROR_MISMATCH) {
        complain("%s", why->message);
        c->changed++;
    } else if (!s) {
        c->unread++;
    }
    return MOHVIT_OK;
}

static int check_pictures(const per_image *p, const char *name, const bool *listed)
{
    checking c = {0};
    mohvit_error err;
    pictures_again_warn(p, name);
    if (!p->xxh64)
        return EXIT_FINE;
    pictures_again(p, name, listed, check_picture, &c, &err);
    if (c.unread)
        complain("warning: %s: %zu of %zu pictures cannot be read where they were: whether they have changed "
                 "is not checked",
                 name, c.unread, c.listed);
    return c.changed ? EXIT_INPUT : EXIT_FINE;
}

// ---- The command line ------------------------------------------------------------------------------

enum { OPTION_BLOCK = OPTION_OWN, OPTION_PICTURES };

static bool take_option(void *options, int code, const char *value)
{
    top_options *o = options;
    switch (code) {
    case OPTION_FORMAT:
        return parse_format(&o->format, value, true);
    case OPTION_PICTURES:
        return parse_whole(&o->pictures, "--pictures", value, 1, 1000);
    default:
        o->block = value;
        return !strcmp(value, "all") || choice_block_valid_or_complain(value);
    }
}

static int run_top(int argc, char **argv)
{
    static const struct option table[] = {
        {"block", required_argument, NULL, OPTION_BLOCK},
        {"pictures", required_argument, NULL, OPTION_PICTURES},
        {"format", required_argument, NULL, OPTION_FORMAT},
        LAST_OPTIONS,
    };
    top_options o = {.pictures = 9};
    int parsed = options_read(&command_headload_top, argc, argv, "", table, take_option, &o);
    if (parsed != PARSED)
        return parsed;
    if (argc - optind != 1)
        return usage_error("headload top", "expected one file of \"headload count --per-image\"");
    per_image *p = NULL;
    mohvit_error err;
    if (!fine_or_complain(per_image_open(&p, argv[optind], &err), &err))
        return EXIT_INPUT;
    bool all = o.block ? !strcmp(o.block, "all") : o.format != FORMAT_TEXT;
    const routing_block *only = all ? NULL : choice_block_or_complain(&p->routing, argv[optind], o.block);
    int exit = all || only ? EXIT_FINE : o.block ? EXIT_USAGE : EXIT_INPUT;
    if (exit == EXIT_FINE) {
        bool *listed = or_die(calloc(p->count + 1, sizeof *listed));
        print_all(p, &o, only, listed);
        exit = check_pictures(p, argv[optind], listed);
        free(listed);
    }
    per_image_free(p);
    return exit;
}

const command command_headload_top = {"headload top", "list the pictures that use each head most", help,
                                      run_top};
