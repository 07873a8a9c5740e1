/* SPDX-License-Identifier: Apache-2.0 */
/* options.c: one table of options drives parsing (getopt_long), --help and docs/options.md.
 *
 *   quern compile net.onnx -o out --dim batch=1   ->   command 'c', model "net.onnx", dims {batch, 1}
 */
#define _GNU_SOURCE
#include "cli.h"
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct Row {
    const char *name;
    int letter;
    const char *arg, *commands, *help;
} rows[] = {
#define OPT(name, letter, arg, commands, help) {name, letter, arg, commands, help},
#include "options.def"
#undef OPT
};
static const struct Command {
    char letter;
    const char *name, *operand, *help;
} commands[] = {
#define CMD(letter, name, run, operand, help) {letter, name, operand, help},
#include "commands.def"
#undef CMD
};
enum { NROW = sizeof rows / sizeof *rows, NCMD = sizeof commands / sizeof *commands };

static void print_options(Text *t, char command) {
    for (int i = 0; i < NROW; i++) {
        if (!strchr(rows[i].commands, command)) continue;
        char left[64];
        snprintf(left, sizeof left, "%s--%s%s%s",
                 rows[i].letter == 'o'   ? "-o, "
                 : rows[i].letter == 'h' ? "-h, "
                                         : "    ",
                 rows[i].name, rows[i].arg ? " " : "", rows[i].arg ? rows[i].arg : "");
        text_printf(t, "  %-34s %s\n", left, rows[i].help);
    }
}
static void help_all(Text *t) {
    text_puts(t, "quern " QUERN_VERSION ": compiles ONNX models into standalone C\n\nusage: quern COMMAND [options]\n\n");
    for (int i = 0; i < NCMD; i++)
        text_printf(t, "  %-8s %-11s %s\n", commands[i].name, commands[i].operand ? commands[i].operand : "", commands[i].help);
    text_puts(t, "\n`quern COMMAND --help` lists a command's options; `quern --version` prints the version.\n"
                 "Exit status: 0 done; 1 the input was refused or a check failed; 2 wrong usage; 3 a bug of ours.\n");
}
static void help_command(Text *t, const struct Command *cmd) {
    text_printf(t, "usage: quern %s%s%s [options]\n\n%s\n\n", cmd->name, cmd->operand ? " " : "", cmd->operand ? cmd->operand : "",
                cmd->help);
    print_options(t, cmd->letter);
}
static int print_and_free(Text *t, FILE *f, int status) {
    fputs(t->s, f);
    text_free(t);
    return status;
}
void options_markdown(Text *out) {
    text_puts(out, "# Commands and options\n\nThis page is printed by the table that parses them (`cli/options.def`).\n");
    for (int i = 0; i < NCMD; i++) {
        text_printf(out, "\n## quern %s%s%s\n\n%s.\n\n| option | meaning |\n| --- | --- |\n", commands[i].name,
                    commands[i].operand ? " " : "", commands[i].operand ? commands[i].operand : "", commands[i].help);
        for (int k = 0; k < NROW; k++) {
            if (!strchr(rows[k].commands, commands[i].letter)) continue;
            text_printf(out, "| `--%s%s", rows[k].name, rows[k].arg ? " " : "");
            for (const char *p = rows[k].arg ? rows[k].arg : ""; *p; p++) text_printf(out, "%s%c", *p == '|' ? "\\" : "", *p);
            text_printf(out, "` | %s |\n", rows[k].help);
        }
    }
}

static int usage(const char *fmt, const char *arg) {
    fputs("quern: ", stderr);
    fprintf(stderr, fmt, arg);
    fputs("; see 'quern --help'\n", stderr);
    return EXIT_USAGE;
}
static bool parse_int(const char *s, int64_t lo, int64_t hi, int64_t *v) {
    char *end;
    errno = 0;
    *v = strtoll(s, &end, 10);
    return *s && !*end && !errno && *v >= lo && *v <= hi;
}
static bool parse_dim(Ctx *c, Options *o, const char *arg) {
    const char *eq = strrchr(arg, '=');
    int64_t v;
    if (!eq || eq == arg) return false;
    DimBinding b = {.name = arena_strndup(c->a, arg, (size_t)(eq - arg))};
    const char *dots = strstr(eq + 1, "..");
    b.range = dots != NULL;
    if (dots && !parse_int(arena_strndup(c->a, eq + 1, (size_t)(dots - eq - 1)), 0, INT64_MAX, &b.lo)) return false;
    if (!parse_int(dots ? dots + 2 : eq + 1, 0, INT64_MAX, &v)) return false;
    b.value = v;
    vec_push(c->a, &o->import.dims, b);
    return true;
}
/* The C function of an --op is declared in the emitted code: not under a name that C or its library has. */
static void check_symbol(Ctx *c, const char *spec, const char *symbol) {
    if (!symbol || strncmp(symbol, "str", 3) == 0 || strncmp(symbol, "mem", 3) == 0) return; /* C would have all names that begin so */
    if (strcmp(c_name(c->a, map_new(c->a), symbol, "f"), arena_printf(c->a, "%s_", symbol)) == 0)
        diag_error(c->d, NO_LOC, "--op %s: '%s' is a name of C or its library; give the function another one", spec, symbol);
}
static bool parse_max(Ctx *c, Options *o, const char *arg) {
    const char *eq = strrchr(arg, '=');
    int64_t v;
    if (!eq || eq == arg || !parse_int(eq + 1, 0, INT64_MAX, &v)) return false;
    vec_push(c->a, &o->import.max, ((MaxBinding){arena_strndup(c->a, arg, (size_t)(eq - arg)), v}));
    return true;
}
static bool parse_named(Ctx *c, Options *o, const char *arg) {
    const char *eq = strrchr(arg, '=');
    if (!eq || eq == arg || !eq[1]) return false;
    vec_push(c->a, &o->input, ((Named){arena_strndup(c->a, arg, (size_t)(eq - arg)), eq + 1}));
    return true;
}
static bool parse_number(const char *s, double *v) {
    char *end;
    *v = strtod(s, &end);
    return *s && !*end && *v >= 0;
}

/* One option's value into Options. false: the value is wrong. */
static bool apply(Ctx *c, Options *o, const char *name, const char *arg) {
    const struct {
        const char *name;
        const char **to;
    } strings[] = {{"output", &o->output},
                   {"name", &o->name},
                   {"target", &o->target},
                   {"backend", &o->backend},
                   {"weights", &o->weights},
                   {"output-dir", &o->output_dir},
                   {"cc", &o->cc},
                   {"cflags", &o->cflags},
                   {"passes", &o->pass.list},
                   {"reference", &o->reference},
                   {"tune-from", &o->tune_from},
                   {"tune-export", &o->tune_export},
                   {"arch", &o->x.arch},
                   {"mapping", &o->x.mapping},
                   {"batch", &o->x.batch},
                   {"counting", &o->x.counting},
                   {"dataflow", &o->x.dataflow},
                   {"objective", &o->x.objective},
                   {"layer", &o->x.layer},
                   {"beat", &o->x.beat},
                   {"html", &o->x.html},
                   {"ert", &o->x.ert},
                   {"constraints", &o->x.constraints},
                   {"export", &o->x.export_dir},
                   {"save", &o->x.save},
                   {"sweep", &o->x.sweep},
                   {"density", &o->x.density},
                   {"bits", &o->x.bits},
                   {"dtype", &o->x.dtype},
                   {"sparsity", &o->x.sparsity}};
    const struct {
        const char *name;
        bool *to;
    } flags[] = {{"interpret", &o->interpret},
                 {"json", &o->json},
                 {"markdown", &o->markdown},
                 {"emit-main", &o->emit_main},
                 {"per-layer", &o->per_layer},
                 {"per-node", &o->per_node},
                 {"bisect", &o->bisect},
                 {"time-passes", &o->pass.time},
                 {"precise", &o->pass.precise},
                 {"narrow-weights", &o->pass.narrow_weights},
                 {"fast-f16", &o->pass.fast_f16},
                 {"fuse", &o->x.fuse},
                 {"all", &o->x.all},
                 {"no-bypass", &o->x.no_bypass}};
    if (o->command == 'i' && strcmp(name, "mapping") == 0) return o->show_mapping = true;
    if (strcmp(name, "instrument") == 0) return o->instrument = true;
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
        if (strcmp(name, strings[i].name) == 0) return *strings[i].to = arg, *arg != 0;
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (strcmp(name, flags[i].name) == 0) return *flags[i].to = true;
    int64_t v;
    if (strcmp(name, "max-string") == 0) return parse_int(arg, 1, INT32_MAX, &v) && (o->pass.max_string = v, true);
    if (strcmp(name, "threads") == 0) return parse_int(arg, 1, 1024, &v) && ((o->threads = (int)v, o->threads_given = true), true);
    if (strcmp(name, "tune") == 0) return o->tune = true;
    if (strcmp(name, "runs") == 0) return parse_int(arg, 1, 1000000, &v) && ((o->runs = (int)v), true);
    if (strcmp(name, "dim") == 0) return parse_dim(c, o, arg);
    if (strcmp(name, "max") == 0) return parse_max(c, o, arg);
    if (strcmp(name, "op") == 0) {
        o->import.ops = &o->ops;
        if (user_op_read(c, arg, &o->ops)) check_symbol(c, arg, o->ops.v[o->ops.n - 1]->symbol); /* errors are reported with the model's */
    }
    if (strcmp(name, "input") == 0) return parse_named(c, o, arg);
    if (strcmp(name, "atol") == 0) return parse_number(arg, &o->atol);
    if (strcmp(name, "rtol") == 0) return parse_number(arg, &o->rtol);
    if (strcmp(name, "evals") == 0) return parse_int(arg, 1, INT64_MAX / 2, &o->x.evals);
    if (strcmp(name, "images") == 0) return parse_int(arg, 1, 1 << 20, &o->x.images);
    if (strcmp(name, "seed") == 0) return parse_int(arg, 0, INT64_MAX / 2, &o->x.seed);
    if (strcmp(name, "time") == 0) return parse_number(arg, &o->x.time) && o->x.time > 0;
    if (strcmp(name, "check") == 0) vec_push(c->a, &o->x.check, arg);
    if (strcmp(name, "data") == 0) vec_push(c->a, &o->data, arg);
    if (strcmp(name, "no-rule") == 0) vec_push(c->a, &o->pass.no_rule, arg);
    if (strcmp(name, "dump-after") == 0) vec_push(c->a, &o->pass.dump_after, arg);
    return true;
}
static int check_choices(const Options *o) {
    if (o->weights && strcmp(o->weights, "c") && strcmp(o->weights, "asm") && strcmp(o->weights, "file"))
        return usage("--weights is '%s', expected c, asm or file", o->weights);
    if (o->x.objective && strcmp(o->x.objective, "energy") && strcmp(o->x.objective, "delay") && strcmp(o->x.objective, "edp"))
        return usage("--objective is '%s', expected energy, delay or edp", o->x.objective);
    if (o->x.counting && strcmp(o->x.counting, "timeloop") && strcmp(o->x.counting, "survey"))
        return usage("--counting is '%s', expected timeloop or survey", o->x.counting);
    if (o->tune_export && !o->tune && !o->tune_from)
        return usage("%s needs --tune or --tune-from: there are no choices to write", "--tune-export");
    if (o->backend && strcmp(o->backend, "c")) return usage("--backend is '%s'; this version emits c", o->backend);
    return -1;
}

int options_parse(Ctx *c, int argc, char **argv, Options *o) {
    Text t = {0};
    const struct Command *cmd = NULL;
    if (argc < 2) return help_all(&t), print_and_free(&t, stderr, EXIT_USAGE);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
        return help_all(&t), print_and_free(&t, stdout, EXIT_DONE);
    if (strcmp(argv[1], "--version") == 0) return puts("quern " QUERN_VERSION), EXIT_DONE;
    if (strcmp(argv[1], "--options-markdown") == 0) return options_markdown(&t), print_and_free(&t, stdout, EXIT_DONE);
    for (int i = 0; i < NCMD; i++)
        if (strcmp(argv[1], commands[i].name) == 0) cmd = &commands[i];
    if (!cmd) return usage("unknown command '%s'", argv[1]);
    o->command = cmd->letter;

    struct option longs[NROW + 1] = {{0}};
    char shorts[2 * NROW + 2] = ":";
    int map[NROW], n = 0, at = 1;
    for (int i = 0; i < NROW; i++) {
        if (!strchr(rows[i].commands, cmd->letter)) continue;
        longs[n] = (struct option){rows[i].name, rows[i].arg ? required_argument : no_argument, NULL, 1000 + n};
        map[n++] = i;
        if (rows[i].letter) shorts[at++] = (char)rows[i].letter;
        if (rows[i].letter && rows[i].arg) shorts[at++] = ':';
    }
    opterr = 0;
    optind = 2;
    for (int r; (r = getopt_long(argc, argv, shorts, longs, NULL)) != -1;) {
        int row = -1;
        if (r == ':') return usage("option '%s' needs a value", argv[optind - 1]);
        if (r >= 1000) row = map[r - 1000];
        for (int i = 0; i < NROW && row < 0; i++)
            if (rows[i].letter == r && r != '?') row = i;
        if (row < 0) return usage("unknown option '%s'", argv[optind - 1]);
        if (strcmp(rows[row].name, "help") == 0) return help_command(&t, cmd), print_and_free(&t, stdout, EXIT_DONE);
        if (!apply(c, o, rows[row].name, optarg)) {
            fprintf(stderr, "quern: --%s: '%s' is not a valid value, expected %s\n", rows[row].name, optarg ? optarg : "", rows[row].arg);
            return EXIT_USAGE;
        }
    }
    bool optional = cmd->operand && cmd->operand[0] == '[';
    if (cmd->operand && !optional && optind >= argc) return usage("%s: no model was given", cmd->name);
    if (optind + (cmd->operand != NULL) < argc) return usage("unexpected argument '%s'", argv[optind + (cmd->operand != NULL)]);
    o->model = cmd->operand && optind < argc ? argv[optind] : NULL;
    if (cmd->letter == 'c' && !o->output) return usage("%s: no output folder was given; add -o DIR", cmd->name);
    if (cmd->letter == 'v' && !o->data.n) return usage("%s: no data was given; add --data DIR", cmd->name);
    if (cmd->letter == 'x' && !o->model && !o->x.batch && !o->x.check.n && !o->x.beat)
        return usage("%s: no model or problem was given", cmd->name);
    return check_choices(o);
}
