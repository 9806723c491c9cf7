# src/report/event.proto becomes C at build time.
set(generated ${CMAKE_BINARY_DIR}/generated)
file(MAKE_DIRECTORY ${generated}/report)
add_custom_command(
  OUTPUT ${generated}/report/event.pb-c.c ${generated}/report/event.pb-c.h
  COMMAND ${SQ_PROTOC_C} --proto_path=${CMAKE_SOURCE_DIR}/src --c_out=${generated} ${CMAKE_SOURCE_DIR}/src/report/event.proto
  DEPENDS ${CMAKE_SOURCE_DIR}/src/report/event.proto
  VERBATIM)
set_source_files_properties(${generated}/report/event.pb-c.c PROPERTIES COMPILE_OPTIONS "-w")
target_sources(sq_report PRIVATE ${generated}/report/event.pb-c.c)
target_include_directories(sq_report PRIVATE ${generated})
