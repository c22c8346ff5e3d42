#include "tools/program/eval_output.h"

#include "base/text_file.h"
#include "eval/head_load_record.h"
#include "eval/header.h"
#include "tools/program/complain.h"
#include "tools/program/json_build.h"
#include "tools/program/output.h"
#include "tools/program/vector_file.h"
#include "vit/network/config.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const json_t *header_of(const eval_report *r)
{
    return journal_header(r->set.journals[0]);
}

/* What stood before the names of source `source` where the run was begun. */
static const char *prefix_of(const json_t *header, size_t source)
{
    const char *prefix = json_string_value(json_array_get(json_object_get(header, "prefixes"), source));
    return prefix ? prefix : "";
}

/* "25%" of --routed-heads, or NULL where it was not given. */
static const char *top_k_name(const json_t *header, size_t top_k)
{
    const json_t *list = json_object_get(json_object_get(header, "match"), "routed_heads");
    return json_string_value(json_array_get(list, top_k));
}

// ---- By class --------------------------------------------------------------------------------------

/* A class of the header: "id TAB name", or a name. */
static const char *class_text(const json_t *classes, size_t index)
{
    const char *text = json_string_value(json_array_get(classes, index));
    return text ? text : "";
}

static void write_field(text_file *f, const char *text)
{
    char *field = csv_field(escape(text, ESCAPE_NAME, NULL));
    text_printf(f, "%s", field);
    free(field);
}

/* "" where it has none. */
static void write_class_id(text_file *f, const char *class)
{
    const char *tab = strchr(class, '\t');
    char *id = or_die(strndup(class, tab ? (size_t)(tab - class) : 0));
    write_field(f, id);
    free(id);
}

static void write_class_label(text_file *f, const char *class)
{
    const char *tab = strchr(class, '\t');
    write_field(f, tab ? tab + 1 : class);
}

static void write_class(text_file *f, const totals *t, const json_t *classes, size_t index)
{
    const class_totals *c = &t->classes[index];
    uint64_t times;
    size_t other = totals_confused_with(t, index, &times);
    text_printf(f, "%zu,", index);
    write_class_id(f, class_text(classes, index));
    text_printf(f, ",");
    write_class_label(f, class_text(classes, index));
    text_printf(f, ",%" PRIu64 ",", c->images);
    if (c->images)
        text_printf(f, "%.4f,%.4f,", 100.0 * (double)c->right1 / (double)c->images,
                    100.0 * (double)c->right5 / (double)c->images);
    else
        text_printf(f, ",,");
    if (other != CLASS_NONE) {
        text_printf(f, "%zu,", other);
        write_class_label(f, class_text(classes, other));
        text_printf(f, ",%" PRIu64 "\n", times);
    } else {
        text_printf(f, ",,\n");
    }
}

static mohvit_status write_per_class(const eval_report *r, const totals *t, mohvit_error *err)
{
    text_file f;
    mohvit_status status = text_open(&f, r->per_class, err);
    if (status)
        return status;
    const json_t *classes = json_object_get(header_of(r), "classes");
    text_printf(&f, "class,id,label,images,top1,top5,confused_class,confused_label,confused_images\n");
    for (size_t i = 0; i < t->class_count; i++)
        write_class(&f, t, classes, i);
    return text_close(&f, MOHVIT_OK, err);
}

// ---- Predictions -----------------------------------------------------------------------------------

/* malloc'd. The prefix is escaped in the header, but for what steers a terminal. */
static char *path_of(const json_t *header, const image_record *one)
{
    char *name = or_die(strndup(one->name, one->name_length)), *path;
    char *before = escape(prefix_of(header, one->source), ESCAPE_CONTROLS, NULL);
    char *behind = escape(name, ESCAPE_NAME, NULL);
    if (asprintf(&path, "%s%s", before, behind) < 0)
        path = or_die(NULL);
    free(name);
    free(before);
    free(behind);
    return path;
}

/* A picture's row for one model. */
static void write_row(text_file *f, const json_t *header, const image_record *one, size_t top_k)
{
    const char *name = top_k_name(header, top_k);
    const score *s = &one->scores[top_k];
    char *path = csv_field(path_of(header, one));
    text_printf(f, "%s", path);
    free(path);
    if (one->class_index == CLASS_UNKNOWN)
        text_printf(f, ",");
    else
        text_printf(f, ",%" PRIu32, one->class_index);
    if (name)
        text_printf(f, ",%s", name);
    for (size_t k = 0; k < SCORE_TOP; k++) {
        if (k < s->top_count)
            text_printf(f, ",%" PRIu32 ",%.9g", s->top[k], (double)s->probability[k]);
        else
            text_printf(f, ",,");
    }
    if (one->failed)
        text_printf(f, ",\n");
    else
        text_printf(f, ",%.9g\n", (double)s->loss / LOSS_UNITS);
}

static mohvit_status begin_predictions(text_file *f, const eval_report *r, mohvit_error *err)
{
    mohvit_status status = text_open(f, r->predictions, err);
    if (status)
        return status;
    text_printf(f, "path,class,%s", top_k_name(header_of(r), 0) ? "routed_heads," : "");
    for (size_t k = 1; k <= SCORE_TOP; k++)
        text_printf(f, "top%zu,prob%zu,", k, k);
    text_printf(f, "loss\n");
    return MOHVIT_OK;
}

// ---- Features, logits and heads ----------------------------------------------------------------------

static bool wants_vectors(const eval_report *r)
{
    return r->vectors[VECTOR_FEATURES] || r->vectors[VECTOR_LOGITS] || r->vectors[VECTOR_HEADS];
}

static mohvit_status check_names(const chunk_record *r, const journal *source, mohvit_error *err)
{
    if (r->predictions)
        return MOHVIT_OK;
    return error_set(err, MOHVIT_ERROR_MISMATCH, "%s: was made without --predictions", journal_name(source));
}

/* Of the pictures that were scored. */
static size_t name_bytes_of(const json_t *header, const chunk_record *r)
{
    size_t sum = 0;
    for (size_t i = 0; i < r->images; i++) {
        char *path = r->image[i].failed ? NULL : path_of(header, &r->image[i]);
        sum += path ? strlen(path) : 0;
        free(path);
    }
    return sum;
}

/* What each record is read for. */
typedef struct vector_writing {
    vector_file file;
    vector_record record;
    const json_t *header;
    bool by_prediction; /* a picture without a class has the one that it counts for */
} vector_writing;

static int64_t class_of(const vector_writing *to, const image_record *one)
{
    if (one->class_index != CLASS_UNKNOWN)
        return (int64_t)one->class_index;
    return to->by_prediction ? (int64_t)one->scores[0].top[0] : -1;
}

static mohvit_status take_vectors(void *user, const chunk_record *r, const journal *source, mohvit_error *err)
{
    vector_writing *to = user;
    byte_reader rows = {0};
    mohvit_status status = vector_record_read(&rows, &to->record, r, source, err);
    for (size_t i = 0; !status && i < r->images; i++) {
        const image_record *one = &r->image[i];
        if (one->failed)
            continue;
        uint64_t index;
        const void *vector = vector_record_next(&rows, &to->record, &index);
        char *path = path_of(to->header, one);
        status = vector_file_add(&to->file, vector, (int64_t)index, class_of(to, one), path, err);
        free(path);
    }
    return status;
}

/* Heads have as many places as the routing has. */
static mohvit_status check_routing(const vector_record *v, routing_layout *out, const record_set *s,
                                   mohvit_error *err)
{
    const char *name = journal_name(s->journals[0]);
    mohvit_status status = routing_layout_read(
        out, json_object_get(journal_header(s->journals[0]), "routing"), NULL, NULL, name, err);
    if (status || out->count * out->max_heads == v->width)
        return status;
    return error_set(err, MOHVIT_ERROR_FORMAT, "%s: its rows are %zu numbers each; its routing has %zu", name,
                     v->width, out->count * out->max_heads);
}

mohvit_status eval_write_vectors(const char *path, vector_kind kind, const record_set *s, const totals *t,
                                 size_t name_bytes, mohvit_error *err)
{
    const json_t *header = journal_header(s->journals[0]);
    json_int_t width =
        json_integer_value(json_object_get(json_object_get(header, "widths"), vector_kind_name(kind)));
    routing_layout routing = {0};
    vector_writing to = {.record = {kind, width > 0 ? (size_t)width : 0, &routing}, .header = header};
    if (kind == VECTOR_HEADS) {
        mohvit_status status = check_routing(&to.record, &routing, s, err);
        to.by_prediction = header_has_section(header, HEAD_LOAD_SECTION_PREDICTED);
        if (status) {
            routing_layout_free(&routing);
            return status;
        }
    }
    const vector_shape shape = {to.record, t->images, name_bytes, header};
    json_t *provenance = eval_provenance(s, t);
    mohvit_status status = vector_file_begin(&to.file, path, &shape, provenance, err);
    if (!status)
        status = record_set_walk(s, take_vectors, &to, err);
    json_decref(provenance);
    status = vector_file_finish(&to.file, status, err);
    routing_layout_free(&routing);
    return status;
}

// ---- Reading ---------------------------------------------------------------------------------------

/* What each record is read for. */
typedef struct reading {
    totals *totals;
    text_file *predictions; /* NULL: not wanted */
    size_t *name_bytes;     /* the same */
    const json_t *header;
} reading;

static mohvit_status take_record(void *user, const chunk_record *r, const journal *source, mohvit_error *err)
{
    const reading *to = user;
    mohvit_status status = totals_add(to->totals, r, source, err);
    for (size_t i = 0; i < r->failures; i++) // whose messages begin with the path
        complain("%.*s", (int)r->failure[i].message_length, r->failure[i].message);
    if (!status && (to->predictions || to->name_bytes))
        status = check_names(r, source, err);
    if (!status && to->name_bytes)
        *to->name_bytes += name_bytes_of(to->header, r);
    for (size_t i = 0; !status && to->predictions && i < r->images; i++)
        for (size_t v = 0; v < r->top_ks; v++)
            write_row(to->predictions, to->header, &r->image[i], v);
    return status;
}

static mohvit_status read_records(totals *t, const record_set *s, size_t class_count, text_file *predictions,
                                  size_t *name_bytes, mohvit_error *err)
{
    reading to = {t, predictions, name_bytes, journal_header(s->journals[0])};
    mohvit_status status = totals_begin(t, s, class_count, err);
    if (!status)
        status = record_set_walk(s, take_record, &to, err);
    totals_end(t);
    if (!status)
        complain_turned(
            json_is_true(json_object_get(json_object_get(to.header, "match"), "exif_orientation")), t->turned,
            t->images + t->failed);
    return status;
}

mohvit_status eval_count(totals *t, const record_set *s, size_t *name_bytes, mohvit_error *err)
{
    return read_records(t, s, 0, NULL, name_bytes, err);
}

mohvit_status eval_write_head_load(const char *path, const record_set *s, const char *shard, int64_t *images,
                                   size_t *classes, mohvit_error *err)
{
    head_load *l = NULL;
    mohvit_status status = head_load_collect(&l, s, shard, config_routing_from_json, err);
    if (status)
        return status;
    if (images)
        *images = head_load_images(l, classes);
    status = head_load_save(l, path, err);
    head_load_destroy(l);
    return status;
}

// ---- The result ------------------------------------------------------------------------------------

/* Milliseconds of one thread for an image. */
static double milliseconds(const totals *t, uint64_t ns)
{
    uint64_t images = t->images + t->failed;
    return images ? (double)ns / 1e6 / (double)images : 0;
}

/* Images that a thread decodes and runs through one model in a second. */
static double thread_rate(const totals *t, size_t top_k)
{
    double ms = milliseconds(t, t->decode_ns + t->of[top_k].network_ns);
    return ms > 0 ? 1e3 / ms : 0;
}

static void put_scores(json_t *object, const totals *t, size_t top_k)
{
    json_put(object, "top1", json_finite(totals_top1(t, top_k)));
    json_put(object, "top5", json_finite(totals_top5(t, top_k)));
    json_put(object, "loss", json_finite(totals_loss(t, top_k)));
}

static void put_cost(json_t *point, const json_t *header, const char *key, size_t top_k)
{
    json_t *value = json_array_get(json_object_get(header, key), top_k);
    if (value)
        json_put(point, key, json_incref(value));
}

static json_t *curve_json(const eval_report *r, const totals *t)
{
    json_t *curve = or_die(json_array());
    for (size_t v = 0; v < t->top_ks; v++) {
        json_t *point = or_die(json_object());
        json_put(point, "routed_heads", json_text(top_k_name(header_of(r), v)));
        if (json_object_get(header_of(r), "gmacs_routed")) // 0.1.0 called that gmacs
            put_cost(point, header_of(r), "gmacs", v);
        put_cost(point, header_of(r), "gmacs_routed", v);
        put_cost(point, header_of(r), "active_heads_percent", v);
        put_scores(point, t, v);
        json_put(point, "network_ms", json_rounded(milliseconds(t, t->of[v].network_ns)));
        json_put(point, "images_per_thread_s", json_rounded(thread_rate(t, v)));
        json_add(curve, point);
    }
    return curve;
}

json_t *eval_provenance(const record_set *s, const totals *t)
{
    char text[33];
    json_t *provenance =
        or_die(json_copy(or_die(json_object_get(journal_header(s->journals[0]), "provenance"))));
    snprintf(text, sizeof text, "%016" PRIx64 "%016" PRIx64, (uint64_t)(t->data_hash >> 64),
             (uint64_t)t->data_hash);
    json_put(provenance, "data_hash", t->hashed ? json_string(text) : json_null());
    return provenance;
}

static void print_json(const eval_report *r, const totals *t)
{
    json_t *object = or_die(json_object());
    put_scores(object, t, 0);
    json_put(object, "images", json_integer((json_int_t)t->images));
    json_put(object, "failed", json_integer((json_int_t)t->failed + (json_int_t)r->dropped));
    json_put(object, "images_per_s", r->rate > 0 ? json_rounded(r->rate) : json_null());
    json_put(object, "decode_ms", json_rounded(milliseconds(t, t->decode_ns)));
    json_put(object, "network_ms", json_rounded(milliseconds(t, t->of[0].network_ns)));
    json_put(object, "complete", json_boolean(!r->incomplete));
    if (r->shard)
        json_put(object, "shard", json_text(r->shard));
    if (top_k_name(header_of(r), 0))
        json_put(object, "curve", curve_json(r, t));
    json_put(object, "provenance", eval_provenance(&r->set, t));
    output_json(object);
}

static void print_score(const char *name, double value, const char *unit)
{
    if (isnan(value))
        output_printf("%-8s %9s\n", name, "-");
    else
        output_printf("%-8s %9.4f%s\n", name, value, unit);
}

static void print_curve(const eval_report *r, const totals *t)
{
    output_printf("%-14s %9s %9s %9s %12s %17s\n", "routed heads", "top-1", "top-5", "loss", "network",
                  "images/s/thread");
    for (size_t v = 0; v < t->top_ks; v++)
        output_printf("%-14s %7.2f %% %7.2f %% %9.4f %9.2f ms %17.2f\n", top_k_name(header_of(r), v),
                      totals_top1(t, v), totals_top5(t, v), totals_loss(t, v),
                      milliseconds(t, t->of[v].network_ns), thread_rate(t, v));
}

static void print_text(const eval_report *r, const totals *t)
{
    if (t->top_ks > 1) {
        print_curve(r, t);
    } else {
        print_score("top-1", totals_top1(t, 0), " %");
        print_score("top-5", totals_top5(t, 0), " %");
        print_score("loss", totals_loss(t, 0), "");
    }
    output_printf("%-8s %9" PRIu64, "images", t->images);
    if (t->images + t->failed < r->images)
        output_printf(" of %zu", r->images);
    output_printf("\n");
    output_printf("%-8s %9" PRIu64 "\n", "failed", t->failed + r->dropped);
    if (r->rate > 0) // how long earlier runs took, nobody has written down
        output_printf("%-8s %9.2f images/s\n", "rate", r->rate);
}

/* Whether all files are written that can be by now. */
static bool write_files(const eval_report *r, const totals *t, text_file *predictions, size_t name_bytes)
{
    mohvit_error err;
    bool written = !predictions || fine_or_complain(text_close(predictions, MOHVIT_OK, &err), &err);
    if (r->per_class && !r->incomplete)
        written = fine_or_complain(write_per_class(r, t, &err), &err) && written;
    for (vector_kind k = 0; k < VECTOR_KINDS; k++)
        if (r->vectors[k] && !r->incomplete)
            written =
                fine_or_complain(eval_write_vectors(r->vectors[k], k, &r->set, t, name_bytes, &err), &err) &&
                written;
    return written;
}

static void name_unwritten(const eval_report *r)
{
    const char *const names[] = {r->predictions, r->per_class, r->vectors[VECTOR_FEATURES],
                                 r->vectors[VECTOR_LOGITS], r->vectors[VECTOR_HEADS]};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i])
            complain("%s: not written: the run is not complete", names[i]);
}

int eval_report_print(const eval_report *r)
{
    totals t;
    mohvit_error err;
    text_file file = {0}, *predictions = r->predictions && !r->incomplete ? &file : NULL;
    size_t classes = json_array_size(json_object_get(header_of(r), "classes")), name_bytes = 0;
    bool names = wants_vectors(r) && !r->incomplete;
    bool fine = !predictions || fine_or_complain(begin_predictions(predictions, r, &err), &err);
    if (!fine)
        predictions = NULL;
    mohvit_status status =
        read_records(&t, &r->set, r->per_class ? classes : 0, predictions, names ? &name_bytes : NULL, &err);
    if (!fine_or_complain(status, &err)) {
        if (predictions)
            text_close(predictions, status, &err);
        totals_free(&t);
        return EXIT_INPUT;
    }
    if (r->incomplete)
        name_unwritten(r);
    fine = write_files(r, &t, predictions, name_bytes) && fine && !r->incomplete && !t.failed;
    if (t.failed + r->dropped)
        complain("%" PRIu64 " of %" PRIu64 " images failed", t.failed + r->dropped,
                 t.failed + r->dropped + t.images);
    if (t.unread)
        complain("%" PRIu64 " of these could not be read; with --state the same command looks again",
                 t.unread);
    if (r->format == FORMAT_JSON)
        print_json(r, &t);
    else
        print_text(r, &t);
    totals_free(&t);
    return fine ? EXIT_FINE : EXIT_INPUT;
}
