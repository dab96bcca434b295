# What `cmake --install` puts down: headers, archive, CMake package, libsta.pc. All of it can be moved
# to another prefix afterwards.
#
# One archive, two targets to link. sta::core is the archive alone: registry, dispatcher, syscall
# table; libc and nothing else. sta::sta is everything: the archive and what all of its parts need.
# What parts need beyond libc (libbpf, which brings libelf and zlib) is added to `sta_all` here, to
# staConfig.cmake.in, and to libsta.pc.in as Libs.private, never to `sta`: hosts that use the core
# need not have it.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

add_library(sta_all INTERFACE)
find_package(PkgConfig REQUIRED)
pkg_check_modules(LIBBPF REQUIRED IMPORTED_TARGET GLOBAL libbpf)
target_include_directories(sta PRIVATE ${LIBBPF_INCLUDE_DIRS})
target_link_libraries(sta_all INTERFACE sta PkgConfig::LIBBPF)
set_target_properties(sta PROPERTIES EXPORT_NAME core)
set_target_properties(sta_all PROPERTIES EXPORT_NAME sta)
add_library(sta::core ALIAS sta)
add_library(sta::sta ALIAS sta_all)

install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        FILES_MATCHING PATTERN "*.h")
install(TARGETS sta sta_all EXPORT staTargets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
        INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

set(sta_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/sta)
configure_package_config_file(staConfig.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/staConfig.cmake
                              INSTALL_DESTINATION ${sta_package_dir}
                              NO_SET_AND_CHECK_MACRO)
# Before 1.0 a minor version may break what the one before offered.
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/staConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(EXPORT staTargets NAMESPACE sta:: DESTINATION ${sta_package_dir})
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/staConfig.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/staConfigVersion.cmake
        DESTINATION ${sta_package_dir})

# libsta.pc finds its prefix from its own place, unless the directories were given as absolute paths.
set(sta_pc_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
if(IS_ABSOLUTE ${CMAKE_INSTALL_LIBDIR})
    set(sta_pc_prefix ${CMAKE_INSTALL_PREFIX})
else()
    file(RELATIVE_PATH sta_pc_up /${sta_pc_dir} /)
    string(REGEX REPLACE "/$" "" sta_pc_prefix "\${pcfiledir}/${sta_pc_up}")
endif()
set(sta_pc_includedir "\${prefix}")
cmake_path(APPEND sta_pc_includedir ${CMAKE_INSTALL_INCLUDEDIR})
set(sta_pc_libdir "\${prefix}")
cmake_path(APPEND sta_pc_libdir ${CMAKE_INSTALL_LIBDIR})
configure_file(libsta.pc.in ${CMAKE_CURRENT_BINARY_DIR}/libsta.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/libsta.pc DESTINATION ${sta_pc_dir})
