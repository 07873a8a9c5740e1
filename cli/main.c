/* SPDX-License-Identifier: Apache-2.0 */
/* main.c: the quern command. Everything it knows of commands is in commands.def and options.def. */
#define _GNU_SOURCE
#include "cli.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    char letter;
    const char *name;
    int (*run)(Ctx *, Options *);
} commands[] = {
#define CMD(letter, name, run, operand, help) {letter, name, run},
#include "commands.def"
#undef CMD
};

static void on_interrupt(int sig) {
    emit_cleanup_temps();
    signal(sig, SIG_DFL);
    raise(sig);
}

/* The command line as text, for bug reports. */
static char *replay_text(Arena *a, int argc, char **argv) {
    Text t = {0};
    for (int i = 0; i < argc; i++) text_printf(&t, "%s'%s'", i ? " " : "", argv[i]);
    char *s = arena_strndup(a, t.s ? t.s : "", t.n);
    text_free(&t);
    return s;
}

int main(int argc, char **argv) {
    Arena *a = arena_new();
    Diags d = {.a = a};
    Ctx c = {a, &d};
    Options o = {.atol = -1, .rtol = -1, .threads = 1};
    bug_replay = replay_text(a, argc, argv);
    signal(SIGINT, on_interrupt);
    signal(SIGTERM, on_interrupt);
    signal(SIGPIPE, SIG_IGN);
    int status = options_parse(&c, argc, argv, &o);
    if (status < 0) {
        ops_init();
        for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
            if (commands[i].letter == o.command) status = commands[i].run(&c, &o);
    }
    diag_print_all(&d, isatty(2) && !getenv("NO_COLOR"));
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "quern: error: cannot write to standard output\n");
        if (status == EXIT_DONE) status = EXIT_REFUSED;
    }
    arena_free(a);
    return status;
}
