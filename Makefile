# make run    installs what is missing, builds, generates sample clients, compares, says where the report is
# make test   installs what is missing, builds, runs every test
# The rest: build, sanitize, conformance, fuzz, bench, install, package, clean.
BUILD ?= build
JOBS ?= $(shell nproc)
CMAKE_FLAGS ?=

.PHONY: all build test run sanitize conformance fuzz bench install package clean

all: build

build:
	@tools/setup.sh build
	@tools/build.sh $(BUILD) $(CMAKE_FLAGS)

run: build
	@tools/sample.sh $(BUILD)/subquad runs/sample

test:
	@tools/setup.sh build test
	@tools/build.sh $(BUILD) -DSUBQUAD_TESTS=ON $(CMAKE_FLAGS)
	@cd $(BUILD) && ctest --output-on-failure -j $(JOBS)

# The tests again, watched by the address, undefined-behaviour and thread sanitizers, and on the plain C kernels.
sanitize:
	@tools/setup.sh build test fuzz
	@tools/sanitize.sh

# Every mechanism with every ability at 1000 and 4097 rows against its double-precision reference.
conformance:
	@tools/setup.sh build test
	@tools/build.sh $(BUILD) -DSUBQUAD_TESTS=ON $(CMAKE_FLAGS)
	@cd $(BUILD) && SUBQUAD_CONFORMANCE=full tests/attention-test_conformance

fuzz:
	@tools/setup.sh build fuzz
	@tools/fuzz.sh

bench: build
	@$(BUILD)/subquad bench attention --n 1024..16384 --attention all

install: build
	@cmake --install $(BUILD) --prefix $(or $(PREFIX),/usr/local)

package: build
	@cd $(BUILD) && cpack -G DEB

clean:
	rm -rf $(BUILD) build-*
