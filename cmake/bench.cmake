# Programs that measure; built with everything, run by hand. training-step: one step of the classifier, beside bench/training_step_torch.py.
add_executable(training-step bench/training_step.c)
set_target_properties(training-step PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bench)
target_link_libraries(training-step PRIVATE sq_train m)
