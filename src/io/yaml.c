#include "io/yaml.h"

#include <string.h>
#include <yaml.h>

#include "base/memory.h"
#include "io/file.h"

/* MOST_ENTRIES bounds the quadratic search for duplicate keys; MOST_BYTES and DEEPEST bound hostile files. */
enum { DEEPEST = 64, MOST_ENTRIES = 65536, MOST_KEYS = 4096, MOST_BYTES = 16 << 20, BLOCK = 1 << 14, MOST_ANCHORS = 256 };

typedef struct anchor { const char *name; sq_yaml *node; } anchor;   /* node NULL: still being read */

typedef struct reader {
    yaml_parser_t parser;
    sq_arena *arena;
    const char *name;
    anchor anchors[MOST_ANCHORS];
    int anchor_count;
    bool key;                          /* the next scalar is a key: a plain null is then the word */
    sq_error *error;
} reader;

static sq_status bad(const reader *r, yaml_mark_t mark, const char *what)
{
    return sq__fail(r->error, SQ_FORMAT, "%s:%zu:%zu: %s", r->name, mark.line + 1, mark.column + 1, what);
}

static sq_status next_event(reader *r, yaml_event_t *event)
{
    if (yaml_parser_parse(&r->parser, event)) return SQ_OK;
    if (r->parser.error == YAML_MEMORY_ERROR) return sq__no_memory(r->error);
    const char *what = r->parser.problem ? r->parser.problem : "not YAML";
    if (r->parser.error == YAML_READER_ERROR)
        return sq__fail(r->error, SQ_FORMAT, "%s: %s at byte %zu", r->name, what, r->parser.problem_offset);
    return bad(r, r->parser.problem_mark, what);
}

static sq_yaml *new_node(reader *r, sq_yaml_type type, yaml_mark_t mark)
{
    sq_yaml *node = sq__arena_alloc(r->arena, sizeof *node);
    if (node) *node = (sq_yaml){ .type = type, .line = (int)mark.line + 1, .column = (int)mark.column + 1, .text = "" };
    return node;
}

static char *copy_text(reader *r, const void *text, size_t size)
{
    char *copy = sq__arena_alloc(r->arena, size + 1);
    if (copy) {
        memcpy(copy, text, size);
        copy[size] = '\0';
    }
    return copy;
}

/* Remember an anchor before its node is read: an alias inside it finds NULL, which is a loop. */
static sq_status add_anchor(reader *r, const yaml_char_t *name, yaml_mark_t mark, anchor **slot)
{
    *slot = NULL;
    if (!name) return SQ_OK;
    if (r->anchor_count == MOST_ANCHORS) return bad(r, mark, "more than 256 anchors");
    char *copy = copy_text(r, name, strlen((const char *)name));
    if (!copy) return sq__no_memory(r->error);
    *slot = &r->anchors[r->anchor_count++];
    **slot = (anchor){ copy, NULL };
    return SQ_OK;
}

static sq_status read_alias(reader *r, const yaml_event_t *event, sq_yaml **node)
{
    for (int i = r->anchor_count - 1; i >= 0; i--)
        if (strcmp(r->anchors[i].name, (const char *)event->data.alias.anchor) == 0) {
            *node = r->anchors[i].node;
            return *node ? SQ_OK : bad(r, event->start_mark, "an alias to a value that holds it");
        }
    return bad(r, event->start_mark, "an alias without its anchor");
}

static sq_status read_scalar(reader *r, const yaml_event_t *event, sq_yaml **node)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t size = event->data.scalar.length;
    anchor *slot;
    if (memchr(text, 0, size)) return bad(r, event->start_mark, "a zero byte in a text");
    SQ_TRY(add_anchor(r, event->data.scalar.anchor, event->start_mark, &slot));
    bool null = !r->key && event->data.scalar.plain_implicit && (strcmp(text, "~") == 0 || strcmp(text, "null") == 0);
    *node = new_node(r, SQ_YAML_SCALAR, event->start_mark);
    if (!*node || !((*node)->text = copy_text(r, text, null ? 0 : size))) return sq__no_memory(r->error);
    if (slot) slot->node = *node;
    return SQ_OK;
}

static sq_status grow(reader *r, sq_yaml *node, int *capacity)
{
    if (node->count < *capacity) return SQ_OK;
    int larger = *capacity ? 2 * *capacity : 8;
    sq_yaml **items = sq__arena_alloc(r->arena, (size_t)larger * sizeof *items);
    sq_yaml **keys = sq__arena_alloc(r->arena, (size_t)larger * sizeof *keys);
    if (!items || !keys) return sq__no_memory(r->error);
    if (node->count) {
        memcpy(items, node->items, (size_t)node->count * sizeof *items);
        if (node->keys) memcpy(keys, node->keys, (size_t)node->count * sizeof *keys);
    }
    node->items = items;
    node->keys = node->type == SQ_YAML_MAP ? keys : NULL;
    *capacity = larger;
    return SQ_OK;
}

static sq_status check_key(reader *r, const sq_yaml *map, const sq_yaml *key, yaml_mark_t mark)
{
    if (key->type != SQ_YAML_SCALAR) return bad(r, mark, "a list or map as a key; expected a word");
    if (map->count >= MOST_KEYS) return bad(r, mark, "more than 4096 keys in one map");
    for (int i = 0; i < map->count; i++)
        if (strcmp(map->keys[i]->text, key->text) == 0)
            return sq__fail(r->error, SQ_FORMAT, "%s:%zu:%zu: '%s' is given twice; first in line %d", r->name, mark.line + 1, mark.column + 1,
                            key->text, map->keys[i]->line);
    return SQ_OK;
}

static sq_status read_node(reader *r, const yaml_event_t *event, int depth, sq_yaml **node);

static sq_status read_entries(reader *r, sq_yaml *node, yaml_event_type_t end, int depth)
{
    for (int capacity = 0;;) {
        yaml_event_t event;
        sq_yaml *key = NULL, *value = NULL;
        SQ_TRY(next_event(r, &event));
        bool last = event.type == end;
        sq_status status = SQ_OK;
        yaml_mark_t mark = event.start_mark;
        r->key = node->type == SQ_YAML_MAP;
        if (!last) status = read_node(r, &event, depth + 1, node->type == SQ_YAML_MAP ? &key : &value);
        r->key = false;
        yaml_event_delete(&event);
        if (last || status != SQ_OK) return status;
        if (node->count >= MOST_ENTRIES) return bad(r, mark, "more than 65536 entries in one list");
        if (key) {
            SQ_TRY(check_key(r, node, key, mark));
            SQ_TRY(next_event(r, &event));
            status = read_node(r, &event, depth + 1, &value);
            yaml_event_delete(&event);
            SQ_TRY(status);
        }
        SQ_TRY(grow(r, node, &capacity));
        node->items[node->count] = value;
        if (key) node->keys[node->count] = key;
        node->count++;
    }
}

static sq_status read_node(reader *r, const yaml_event_t *event, int depth, sq_yaml **node)
{
    if (depth > DEEPEST) return bad(r, event->start_mark, "nested deeper than 64");
    if (event->type != YAML_SCALAR_EVENT) r->key = false;
    if (event->type == YAML_ALIAS_EVENT) return read_alias(r, event, node);
    if (event->type == YAML_SCALAR_EVENT) return read_scalar(r, event, node);
    bool map = event->type == YAML_MAPPING_START_EVENT;
    anchor *slot;
    SQ_TRY(add_anchor(r, map ? event->data.mapping_start.anchor : event->data.sequence_start.anchor, event->start_mark, &slot));
    *node = new_node(r, map ? SQ_YAML_MAP : SQ_YAML_LIST, event->start_mark);
    if (!*node) return sq__no_memory(r->error);
    SQ_TRY(read_entries(r, *node, map ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT, depth));
    if (slot) slot->node = *node;
    return SQ_OK;
}

/* stream-start, document-start, root, document-end, stream-end */
static sq_status read_document(reader *r, sq_yaml **root)
{
    bool done = false;
    *root = NULL;
    while (!done) {
        yaml_event_t event;
        SQ_TRY(next_event(r, &event));
        sq_status status = SQ_OK;
        switch (event.type) {
        case YAML_STREAM_START_EVENT:
        case YAML_DOCUMENT_END_EVENT: break;
        case YAML_DOCUMENT_START_EVENT:
            if (*root) status = bad(r, event.start_mark, "a second document; expected one");
            break;
        case YAML_STREAM_END_EVENT: done = true; break;
        default: status = read_node(r, &event, 1, root);
        }
        yaml_event_delete(&event);
        SQ_TRY(status);
    }
    return *root ? SQ_OK : sq__fail(r->error, SQ_FORMAT, "%s:1:1: the file is empty", r->name);
}

sq_status sq__yaml_parse(sq_yaml_document **document, const char *name, const char *text, size_t size, sq_error *error)
{
    *document = NULL;
    if (size > MOST_BYTES) return sq__fail(error, SQ_FORMAT, "%s: larger than 16 MiB", name);
    reader r = { .arena = sq__arena_create(BLOCK), .name = name, .error = error };
    if (!r.arena) return sq__no_memory(error);
    if (!yaml_parser_initialize(&r.parser)) {
        sq__arena_destroy(r.arena);
        return sq__no_memory(error);
    }
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, size);
    sq_yaml_document *fresh = sq__arena_alloc(r.arena, sizeof *fresh);
    char *copy = copy_text(&r, name, strlen(name));
    sq_status status = fresh && copy ? SQ_OK : sq__no_memory(error);
    if (status == SQ_OK) {
        *fresh = (sq_yaml_document){ .name = copy, .owner = r.arena };
        status = read_document(&r, &fresh->root);
    }
    yaml_parser_delete(&r.parser);
    if (status != SQ_OK) sq__arena_destroy(r.arena);
    else *document = fresh;
    return status;
}

sq_status sq__yaml_load(sq_yaml_document **document, const char *path, sq_error *error)
{
    char *text;
    size_t size;
    *document = NULL;
    SQ_TRY(sq__file_read(path, &text, &size, error));
    sq_status status = sq__yaml_parse(document, path, text, size, error);
    sq__free(text);
    return status;
}

void sq__yaml_destroy(sq_yaml_document **document)
{
    if (!document || !*document) return;
    sq__arena_destroy((*document)->owner);   /* the document itself lies in it */
    *document = NULL;
}

sq_yaml *sq__yaml_get(const sq_yaml *map, const char *key)
{
    for (int i = 0; map && map->type == SQ_YAML_MAP && i < map->count; i++)
        if (strcmp(map->keys[i]->text, key) == 0) return map->items[i];
    return NULL;
}

sq_status sq__yaml_fail(const sq_yaml_document *document, const sq_yaml *node, sq_error *error, const char *format, ...)
{
    char message[sizeof error->message];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    return sq__fail(error, SQ_INVALID, "%s:%d:%d: %s", document->name, node->line, node->column, message);
}

sq_status sq__yaml_check_keys(const sq_yaml_document *document, const sq_yaml *map, const char *const *allowed, int count, sq_error *error)
{
    if (map->type != SQ_YAML_MAP) return sq__yaml_fail(document, map, error, "expected keys with values");
    for (int i = 0; i < map->count; i++) {
        const sq_yaml *key = map->keys[i];
        bool known = false;
        for (int j = 0; j < count && !known; j++) known = strcmp(key->text, allowed[j]) == 0;
        if (known) continue;
        char near[128];
        sq__did_you_mean(key->text, allowed, count, near, sizeof near);
        return sq__fail(error, SQ_NOT_FOUND, "%s:%d:%d: unknown key '%s'%s", document->name, key->line, key->column, key->text, near);
    }
    return SQ_OK;
}
