# Programs in eBPF, compiled by clang.
#
#   sta_find_bpf_tools()            sets STA_BPF_OBJECTS: clang compiles for BPF here; and
#                                   STA_BPF_SKELETONS: bpftool makes skeletons, too
#   sta_bpf_object(NAME SOURCE)     SOURCE, "x.bpf.c", becomes x.bpf.o in the current binary directory,
#                                   by the target NAME
#   sta_bpf_skeleton(NAME SOURCE)   the same, with x.skel.h beside it
include_guard(DIRECTORY)

set(sta_bpf_dir ${CMAKE_CURRENT_LIST_DIR})
# -g: types, without which there is no CO-RE. v3: atomic operations that return the old value.
set(sta_bpf_flags -target bpf -mcpu=v3 -g -O2 -Wall -D__TARGET_ARCH_x86 -I${sta_bpf_dir})

macro(sta_find_bpf_tools)
    find_program(STA_BPF_CLANG clang)
    find_program(STA_BPFTOOL bpftool PATHS /usr/sbin /sbin)
    if(STA_BPF_CLANG AND NOT DEFINED STA_BPF_OBJECTS)
        execute_process(
            COMMAND ${STA_BPF_CLANG} ${sta_bpf_flags} -I/usr/include/${CMAKE_LIBRARY_ARCHITECTURE}
                    -c ${sta_bpf_dir}/syscount.bpf.c -o ${CMAKE_CURRENT_BINARY_DIR}/try.bpf.o
            RESULT_VARIABLE sta_bpf_result OUTPUT_QUIET ERROR_QUIET)
        if(sta_bpf_result EQUAL 0)
            set(STA_BPF_OBJECTS ON CACHE INTERNAL "clang compiles eBPF objects")
        else()
            message(STATUS "No eBPF objects: clang does not compile for BPF here")
        endif()
    endif()
    if(STA_BPF_OBJECTS AND STA_BPFTOOL AND NOT DEFINED STA_BPF_SKELETONS)
        # Some distributions have a wrapper that works for one kernel only.
        execute_process(COMMAND ${STA_BPFTOOL} version
                        RESULT_VARIABLE sta_bpf_result OUTPUT_QUIET ERROR_QUIET)
        if(sta_bpf_result EQUAL 0)
            set(STA_BPF_SKELETONS ON CACHE INTERNAL "bpftool makes skeletons")
        else()
            message(STATUS "No skeletons: bpftool does not work here")
        endif()
    endif()
endmacro()

function(sta_bpf_object name source)
    get_filename_component(source ${source} ABSOLUTE)
    get_filename_component(stem ${source} NAME_WE)
    set(object ${CMAKE_CURRENT_BINARY_DIR}/${stem}.bpf.o)
    add_custom_command(OUTPUT ${object}
        COMMAND ${STA_BPF_CLANG} ${sta_bpf_flags} -I/usr/include/${CMAKE_LIBRARY_ARCHITECTURE}
                -MD -MT ${object} -MF ${object}.d -c ${source} -o ${object}
        DEPENDS ${source}
        DEPFILE ${object}.d
        COMMENT "Compiling ${stem}.bpf.o"
        VERBATIM)
    add_custom_target(${name} ALL DEPENDS ${object})
endfunction()

function(sta_bpf_skeleton name source)
    get_filename_component(stem ${source} NAME_WE)
    set(object ${CMAKE_CURRENT_BINARY_DIR}/${stem}.bpf.o)
    set(header ${CMAKE_CURRENT_BINARY_DIR}/${stem}.skel.h)
    sta_bpf_object(${name}_object ${source})
    add_custom_command(OUTPUT ${header}
        COMMAND ${STA_BPFTOOL} gen skeleton ${object} name ${stem}_bpf > ${header}.new
        COMMAND ${CMAKE_COMMAND} -E rename ${header}.new ${header}
        DEPENDS ${name}_object ${object}
        COMMENT "Generating ${stem}.skel.h")
    add_custom_target(${name} DEPENDS ${header})
endfunction()
