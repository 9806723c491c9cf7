# make install DESTDIR=..., a pkg-config file, a CMake package, a .deb by CPack.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS subquad-shared subquad-static EXPORT subquad-targets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET subquad-cli)
  install(TARGETS subquad-cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  set_target_properties(subquad-cli PROPERTIES INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
endif()
install(DIRECTORY include/subquad DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")

set_target_properties(subquad-shared PROPERTIES EXPORT_NAME subquad)
set_target_properties(subquad-static PROPERTIES EXPORT_NAME subquad-static)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/subquad)
install(EXPORT subquad-targets NAMESPACE subquad:: DESTINATION ${package_dir})
configure_package_config_file(cmake/subquad-config.cmake.in ${CMAKE_BINARY_DIR}/subquad-config.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/subquad-config-version.cmake COMPATIBILITY SameMajorVersion)
install(FILES ${CMAKE_BINARY_DIR}/subquad-config.cmake ${CMAKE_BINARY_DIR}/subquad-config-version.cmake DESTINATION ${package_dir})

file(RELATIVE_PATH SQ_PREFIX_FROM_PC /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)   # relocatable
configure_file(cmake/subquad.pc.in ${CMAKE_BINARY_DIR}/subquad.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/subquad.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

set(CPACK_PACKAGE_NAME subquad)
set(CPACK_PACKAGE_VENDOR "the subquad authors")
set(CPACK_PACKAGE_CONTACT "subquad maintainers <subquad@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Transformers whose attention costs less than n^2: train, compare and run them on CPUs")
set(CPACK_GENERATOR DEB)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS gnuplot-nox)
set(CPACK_STRIP_FILES ON)
include(CPack)
