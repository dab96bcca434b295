# The syscall table's sources; included by ../CMakeLists.txt.
set(names_dir ${CMAKE_CURRENT_BINARY_DIR}/syscalls)
set(names_flags "${CMAKE_C_FLAGS}")
if(CMAKE_SYSROOT)
    string(APPEND names_flags " --sysroot=${CMAKE_SYSROOT}")
endif()
add_custom_command(
    OUTPUT ${names_dir}/syscall_names.inc ${names_dir}/syscall_sorted.inc
    COMMAND ${CMAKE_COMMAND} -D compiler=${CMAKE_C_COMPILER} -D flags=${names_flags}
            -D extra=${CMAKE_CURRENT_LIST_DIR}/extra_numbers.txt -D output_dir=${names_dir}
            -P ${CMAKE_CURRENT_LIST_DIR}/generate_names.cmake
    DEPENDS ${CMAKE_CURRENT_LIST_DIR}/generate_names.cmake
            ${CMAKE_CURRENT_LIST_DIR}/extra_numbers.txt
    DEPFILE ${names_dir}/syscall_names.d
    COMMENT "Generating the table of system call names"
    VERBATIM)

target_sources(sta PRIVATE
    ${names_dir}/syscall_names.inc
    ${names_dir}/syscall_sorted.inc
    syscalls/escape.c
    syscalls/event.c
    syscalls/format.c
    syscalls/names.c
    syscalls/target.c
    syscalls/tracefs.c
    syscalls/tracefs_find.c
    syscalls/tracepoint.c)
target_include_directories(sta PRIVATE ${CMAKE_CURRENT_BINARY_DIR})
