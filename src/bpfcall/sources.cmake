# bpf(2) in user space; included by ../CMakeLists.txt. Hosts that do not call sta_emulate_start() or
# sta_object_open() link none of these, and need no libbpf.
target_sources(sta PRIVATE
    bpfcall/btf.c
    bpfcall/btf_check.c
    bpfcall/call.c
    bpfcall/close.c
    bpfcall/emulate.c
    bpfcall/fds.c
    bpfcall/map_command.c
    bpfcall/map_object.c
    bpfcall/user.c)
