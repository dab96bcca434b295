# libsta-agent.so, the library that is preloaded; included by ../CMakeLists.txt.
add_library(sta-agent MODULE
    agent/agent.c
    agent/config.c
    agent/counts.c
    agent/errnos.c
    agent/fail.c
    agent/output.c
    agent/report.c)

# Callbacks, and what they call: as in ../CMakeLists.txt.
set_source_files_properties(agent/counts.c agent/fail.c agent/output.c
    PROPERTIES COMPILE_OPTIONS "${sta_path_options}")

set_target_properties(sta-agent PROPERTIES
    C_VISIBILITY_PRESET hidden
    LINK_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/exports.map)
target_compile_options(sta-agent PRIVATE -fasynchronous-unwind-tables)
target_compile_definitions(sta-agent PRIVATE _GNU_SOURCE)
target_include_directories(sta-agent PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
# Everything is bound when it is loaded: a symbol must not be looked up inside a callback.
target_link_options(sta-agent PRIVATE
    -Wl,-z,now -Wl,--as-needed -Wl,--version-script=${CMAKE_CURRENT_LIST_DIR}/exports.map)
target_link_libraries(sta-agent PRIVATE sta)
install(TARGETS sta-agent LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
