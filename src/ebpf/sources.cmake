# The eBPF virtual machine's sources; included by ../CMakeLists.txt, which lists those that run
# programs among the sources of the dispatch path.
target_sources(sta PRIVATE
    ebpf/attach_program.c
    ebpf/code.c
    ebpf/code_decode.c
    ebpf/form.c
    ebpf/helper_table.c
    ebpf/interpret_translate.c
    ebpf/jit.c
    ebpf/jit_alu.c
    ebpf/jit_atomic.c
    ebpf/jit_body.c
    ebpf/jit_call.c
    ebpf/jit_div.c
    ebpf/jit_entry.c
    ebpf/jit_frame.c
    ebpf/jit_jump.c
    ebpf/jit_memory.c
    ebpf/jit_perf.c
    ebpf/jit_plan.c
    ebpf/jit_seal.c
    ebpf/load.c
    ebpf/x86.c)
