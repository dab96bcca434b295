# The eBPF virtual machine's sources; included by ../CMakeLists.txt, which lists those that run
# programs among the sources of the dispatch path.
target_sources(sta PRIVATE
    ebpf/attach_program.c
    ebpf/code.c
    ebpf/code_decode.c
    ebpf/form.c
    ebpf/helper_table.c
    ebpf/interpret_translate.c
    ebpf/load.c)
