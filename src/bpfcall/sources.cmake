# bpf(2) in user space; included by ../CMakeLists.txt. Hosts that do not call sta_emulate_start() or
# sta_object_open() link none of these, and need no libbpf.
target_sources(sta PRIVATE
    bpfcall/batch_command.c
    bpfcall/btf.c
    bpfcall/btf_check.c
    bpfcall/call.c
    bpfcall/close.c
    bpfcall/element.c
    bpfcall/element_command.c
    bpfcall/emulate.c
    bpfcall/fds.c
    bpfcall/ids.c
    bpfcall/info.c
    bpfcall/link.c
    bpfcall/map_command.c
    bpfcall/map_object.c
    bpfcall/other_command.c
    bpfcall/perf_program.c
    bpfcall/program_command.c
    bpfcall/program_object.c
    bpfcall/test_run.c
    bpfcall/tracing.c
    bpfcall/user.c
    bpfcall/verifier_text.c)
