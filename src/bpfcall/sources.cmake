# bpf(2) in user space; included by ../CMakeLists.txt. Hosts that do not call sta_emulate_start() or
# sta_object_open() link none of these, and need no libbpf.
target_sources(sta PRIVATE
    bpfcall/btf.c
    bpfcall/btf_check.c
    bpfcall/btf_ext_check.c
    bpfcall/btf_loops.c
    bpfcall/call.c
    bpfcall/close.c
    bpfcall/elf_check.c
    bpfcall/emulate.c
    bpfcall/emulate_process.c
    bpfcall/fds.c
    bpfcall/files.c
    bpfcall/hooks.c
    bpfcall/map_command.c
    bpfcall/map_object.c
    bpfcall/mmap.c
    bpfcall/object_attach.c
    bpfcall/object_data.c
    bpfcall/object_load.c
    bpfcall/object_open.c
    bpfcall/object_section.c
    bpfcall/perf.c
    bpfcall/perf_probe.c
    bpfcall/perf_program.c
    bpfcall/poll.c
    bpfcall/reach.c
    bpfcall/user.c)
