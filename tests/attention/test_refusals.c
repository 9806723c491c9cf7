/* What a mechanism cannot do is refused at creation, with the status that fits and a line that says why and what can. */
#include "subquad/attention.h"
#include "support/check.h"

static const struct { unsigned bit; const char *name; } abilities[] = {
#define ABILITY(code, bit, name, help) { code, name },
    SQ_CAN_TABLE(ABILITY)
#undef ABILITY
};

static sq_status create(const sq_attention_desc *desc, sq_error *error)
{
    sq_attention *plan = (sq_attention *)(uintptr_t)1;
    const sq_status status = sq_attention_create(&plan, desc, error);
    if (status != SQ_OK && plan) fail_msg("%s: a refusal left a plan", desc->mechanism);
    sq_attention_destroy(&plan);
    return status;
}

static sq_attention_desc usual(const char *mechanism)
{
    sq_mechanism_info info = { .can = 0 };
    const int index = sq_mechanism_find(mechanism);
    if (index >= 0) sq_mechanism_get(index, &info);
    return (sq_attention_desc){ .mechanism = mechanism, .B = 1, .H = 4, .T = 8, .N = 8, .D = 4, .M = 4, .causal = (info.can & SQ_CAUSAL_ONLY) != 0 };
}

/* The plan with one more ability asked for; false: none of the plan's fields stands for it. */
static bool ask(unsigned bit, sq_attention_desc *desc)
{
    switch (bit) {
    case SQ_CAN_CAUSAL: desc->causal = true; return true;
    case SQ_CAN_CROSS: desc->N = 11; return true;
    case SQ_CAN_LENGTHS: desc->lengths = true; return true;
    case SQ_CAN_MASK: desc->mask = true; return true;
    case SQ_CAN_KEY_MASK: desc->key_mask = true; return true;
    case SQ_CAN_GROUPED: desc->key_heads = 2; return true;
    case SQ_CAN_GLOBAL: desc->global_tokens = true; return true;
    case SQ_CAN_BIAS: desc->bias = SQ_BIAS_ALIBI; return true;
    case SQ_CAN_ROTARY: desc->rotary = true; return true;
    default: return false;
    }
}

/* "...; a mechanism that can: NAME": that one takes the same plan. Nothing is offered where none can. */
static void check_offer(const sq_attention_desc *refused, const char *message)
{
    static const char offer[] = "a mechanism that can: ";
    const char *name = strstr(message, offer);
    sq_attention_desc desc = *refused;
    sq_error error;
    if (!name) {
        sq_mechanism_info info;
        for (int m = 0; sq_mechanism_get(m, &info) == SQ_OK; m++) {
            desc.mechanism = info.name;
            if (create(&desc, &error) == SQ_OK) fail_msg("%s: offers nothing, and %s can", message, info.name);
        }
        return;
    }
    desc.mechanism = name + strlen(offer);
    if (create(&desc, &error) != SQ_OK && error.status == SQ_UNSUPPORTED && strstr(error.message, "cannot do"))
        fail_msg("%s: it cannot: %s", message, error.message);
}

/* Every ability, and every two together: what a row of the matrix says is so. */
static void test_abilities(void **state)
{
    enum { COUNT = sizeof abilities / sizeof abilities[0] };
    sq_mechanism_info info;
    (void)state;
    for (int m = 0; sq_mechanism_get(m, &info) == SQ_OK; m++)
        for (size_t i = 0; i < COUNT; i++)
            for (size_t j = 0; j <= i; j++) {
                sq_attention_desc desc = usual(info.name);
                sq_error error;
                if (!ask(abilities[i].bit, &desc) || !ask(abilities[j].bit, &desc)) continue;
                const unsigned can = info.can | (info.can & SQ_CAN_MASK ? SQ_CAN_KEY_MASK : 0u), lacking = (abilities[i].bit | abilities[j].bit) & ~can;
                const sq_status status = create(&desc, &error);
                if (!lacking) {   /* two abilities may exclude each other by a rule of the mechanism; one by itself never */
                    if (status != SQ_OK && (i == j || status != SQ_UNSUPPORTED)) fail_msg("%s says it can do %s: %s", info.name, abilities[i].name, error.message);
                    continue;
                }
                assert_int_equal(status, SQ_UNSUPPORTED);
                assert_contains(error.message, info.name);
                assert_contains(error.message, lacking & abilities[j].bit && (!(lacking & abilities[i].bit) || abilities[j].bit < abilities[i].bit) ? abilities[j].name : abilities[i].name);
                check_offer(&desc, error.message);
            }
}

/* A causal plan of a mechanism that streams, by its default options, has a state; others and plans that are not causal have none. */
static void test_streaming(void **state)
{
    sq_mechanism_info info;
    (void)state;
    for (int m = 0; sq_mechanism_get(m, &info) == SQ_OK; m++)
        for (int causal = 0; causal < 2; causal++) {
            sq_attention_desc desc = usual(info.name);
            sq_attention *plan;
            sq_error error;
            desc.causal = causal;
            if (sq_attention_create(&plan, &desc, &error) != SQ_OK) continue;
            if ((sq_attention_state_bytes(plan) > 0) != (causal && info.can & SQ_CAN_STREAM))
                fail_msg("%s%s: its state has %zu bytes, and it says it can%s stream", info.name, causal ? " causal" : "", sq_attention_state_bytes(plan),
                         info.can & SQ_CAN_STREAM ? "" : "not");
            sq_attention_destroy(&plan);
        }
}

static void test_unknown_mechanism(void **state)
{
    sq_attention_desc desc = usual("preformer");
    sq_error error;
    (void)state;
    assert_int_equal(create(&desc, &error), SQ_NOT_FOUND);
    assert_contains(error.message, "'preformer'");
    assert_contains(error.message, "performer'?");
    desc.mechanism = NULL;
    assert_int_equal(create(&desc, &error), SQ_INVALID);
}

static sq_status set(const char *mechanism, const char *key, const char *value, sq_error *error)
{
    const sq_option option = { key, value };
    sq_attention_desc desc = usual(mechanism);
    desc.options = &option;
    desc.option_count = 1;
    return create(&desc, error);
}

/* Each option of each mechanism, misspelt, offers itself. */
static void test_unknown_option(void **state)
{
    sq_mechanism_info info;
    (void)state;
    for (int m = 0; sq_mechanism_get(m, &info) == SQ_OK; m++) {
        sq_option_info option;
        sq_error error;
        assert_int_equal(set(info.name, "no_such_thing_at_all", "1", &error), SQ_NOT_FOUND);
        assert_contains(error.message, "no_such_thing_at_all");
        for (int i = 0; sq_mechanism_option(m, i, &option) == SQ_OK; i++) {
            char misspelt[64], offered[80];
            snprintf(misspelt, sizeof misspelt, "%sx", option.name);
            snprintf(offered, sizeof offered, "did you mean '%s'?", option.name);
            assert_int_equal(set(info.name, misspelt, "1", &error), SQ_NOT_FOUND);
            assert_contains(error.message, offered);
        }
    }
}

/* Wrong words and numbers out of range: the option is named, and nothing is clamped. */
static void test_bad_values(void **state)
{
    sq_mechanism_info info;
    (void)state;
    for (int m = 0; sq_mechanism_get(m, &info) == SQ_OK; m++) {
        sq_option_info option;
        for (int i = 0; sq_mechanism_option(m, i, &option) == SQ_OK; i++) {
            const bool number = option.type == SQ_OPTION_INT || option.type == SQ_OPTION_FLOAT;
            char above[64];
            sq_error error;
            if (option.type == SQ_OPTION_TEXT) continue;
            assert_int_equal(set(info.name, option.name, "surely-not", &error), SQ_INVALID);
            assert_contains(error.message, option.name);
            assert_contains(error.message, "surely-not");
            if (!number) continue;
            snprintf(above, sizeof above, option.type == SQ_OPTION_INT ? "%.0f" : "%.17g", option.maximum < 0 ? 1.0 : 2 * option.maximum + 1);
            assert_int_equal(set(info.name, option.name, above, &error), SQ_INVALID);
            assert_contains(error.message, option.name);
            snprintf(above, sizeof above, option.type == SQ_OPTION_INT ? "%.0f" : "%.17g", option.minimum > 0 ? -1.0 : 2 * option.minimum - 1);
            assert_int_equal(set(info.name, option.name, above, &error), SQ_INVALID);
        }
    }
}

static void test_bad_sizes(void **state)
{
    sq_mechanism_info info;
    sq_error error;
    (void)state;
    for (int m = 0; sq_mechanism_get(m, &info) == SQ_OK; m++) {
        for (int field = 0; field < 6; field++) {
            sq_attention_desc desc = usual(info.name);
            int64_t *const sizes[] = { &desc.B, &desc.H, &desc.T, &desc.N, &desc.D, &desc.M };
            *sizes[field] = field % 2 ? -3 : 0;
            assert_int_equal(create(&desc, &error), SQ_INVALID);
            *sizes[field] = INT64_MAX;
            assert_int_equal(create(&desc, &error), SQ_INVALID);
        }
        sq_attention_desc desc = usual(info.name);
        desc.key_heads = 3;
        assert_int_equal(create(&desc, &error), SQ_INVALID);
        desc = usual(info.name);
        desc.scale = NAN;
        assert_int_equal(create(&desc, &error), SQ_INVALID);
        desc = usual(info.name);
        desc.max_length = 4;
        assert_int_equal(create(&desc, &error), SQ_INVALID);
        for (int bias = -1; bias <= SQ_BIAS_RELATIVE + 1; bias += SQ_BIAS_RELATIVE + 2) {
            desc = usual(info.name);
            desc.bias = (sq_bias_kind)bias;
            assert_int_equal(create(&desc, &error), SQ_INVALID);
            assert_contains(error.message, "bias is");
        }
    }
}

/* Defaults as the registry prints them can be given back, and help and choices are there. */
static void test_defaults_round_trip(void **state)
{
    sq_mechanism_info info;
    (void)state;
    for (int m = 0; sq_mechanism_get(m, &info) == SQ_OK; m++) {
        sq_option_info option;
        sq_error error;
        int count = 0;
        assert_non_null(info.title), assert_non_null(info.paper), assert_non_null(info.cost);
        for (; sq_mechanism_option(m, count, &option) == SQ_OK; count++) {
            assert_true(option.help && *option.help);
            if ((option.type == SQ_OPTION_CHOICE) != (option.choices != NULL)) fail_msg("%s %s: choices", info.name, option.name);
            assert_ok(set(info.name, option.name, option.default_text, &error), &error);
        }
        assert_int_equal(count, info.option_count);
        assert_int_equal(sq_mechanism_find(info.name), m);
    }
    assert_int_equal(sq_mechanism_find("nothing"), -1);
    assert_int_equal(sq_mechanism_get(sq_mechanism_count(), &info), SQ_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_abilities), cmocka_unit_test(test_streaming), cmocka_unit_test(test_unknown_mechanism), cmocka_unit_test(test_unknown_option),
        cmocka_unit_test(test_bad_values), cmocka_unit_test(test_bad_sizes), cmocka_unit_test(test_defaults_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
