include(GNUInstallDirs)
install(TARGETS subquad-shared LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
