# The eBPF virtual machine's sources; included by ../CMakeLists.txt, which lists those that run
# programs among the sources of the dispatch path.
target_sources(sta PRIVATE
    ebpf/attach_program.c
    ebpf/code.c
    ebpf/code_decode.c
    ebpf/form.c
    ebpf/helper_table.c
    ebpf/interpret_translate.c
    ebpf/load.c
    ebpf/verify.c
    ebpf/verify/alu.c
    ebpf/verify/calls.c
    ebpf/verify/control_flow.c
    ebpf/verify/disasm.c
    ebpf/verify/helpers.c
    ebpf/verify/jump.c
    ebpf/verify/log.c
    ebpf/verify/memory.c
    ebpf/verify/pointer.c
    ebpf/verify/prune.c
    ebpf/verify/range.c
    ebpf/verify/refine.c
    ebpf/verify/stack.c
    ebpf/verify/state.c
    ebpf/verify/tnum.c
    ebpf/verify/values.c)
