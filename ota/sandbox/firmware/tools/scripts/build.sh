#!/usr/bin/env bash
#
# Make a signed update image without a compiler.
#
# Options, defaults, refusals and output files are those of the reference firmware's script of the same path, so that
# a tool which drives this one drives that one. The image is filler that depends on the application's header, the
# device's certificate and the build's options, behind an MCUboot header; it boots nowhere.
#
# Needs bash 3.2 or newer, openssl (or LibreSSL) and coreutils, on Linux or macOS.

set -euo pipefail
export LC_ALL=C            # lengths are bytes

name="$(basename "$0")"
root="$(cd "$(dirname "$0")/../.." && pwd)"

image_bytes=596736       # the reference application's update, to the byte
model_bytes=102400
header_bytes=1024        # 0x400: MCUboot's header and the padding behind it
trailer_bytes=40         # one TLV area that holds one SHA-256

application=""
build_path="$root/build"
target="corstone320"
inference="ETHOS"
audio="ROM"
toolchain="GNU"
npu_id=""
npu_mac=""
conn_stack="FREERTOS_PLUS_TCP"
psa_crypto="TF-M"
certificate_path=""
private_key_path=""
clean=0

usage() {
    cat <<END
Usage: $0 [options] application

Make the signed update image of an application: $(applications | tr '\n' ' ')

  -h, --help                       show this
  -c, --clean                      remove what earlier builds made first
  -p, --path DIR                   where to build (default: $build_path)
  -C, --certificate_path FILE      the device's certificate (must exist)
  -P, --private_key_path FILE      the device's private key (must exist; nothing of it goes into the image)
  -t, --target NAME                corstone300, corstone310, corstone315 or corstone320
  -i, --inference NAME             ETHOS or SOFTWARE
  -s, --audio NAME                 ROM or VSI
  -T, --toolchain NAME             GNU or ARMCLANG
  -n, --npu-id NAME                U55, U65 or U85
      --npu-mac NUMBER             32, 64, 128, 256 or 512
      --conn-stack NAME            FREERTOS_PLUS_TCP or IOT_VSOCKET
      --psa-crypto-implementation NAME   TF-M or MBEDTLS

AWS_OTA_SIGNATURE_TYPE in the environment (RSA-2048, RSA-3072, EC-P256, EC-P384) chooses the kind of signing key that
the first build makes, AWS_OTA_SIGNATURE_PADDING (PSS, PKCS1) how an RSA signature is padded.
END
}

# The applications of this tree, one a line, as they are given on the command line.
applications() {
    local folder
    for folder in "$root"/applications/*/configs/aws_configs; do
        [ -f "$folder/aws_clientcredential.h" ] || continue
        folder="${folder%/configs/aws_configs}"
        folder="${folder##*/}"
        echo "${folder//_/-}"
    done
}

# The reason comes last, where it is seen.
refuse() {
    usage
    echo "$name: $1" >&2
    exit 2
}

absolute() {
    case "$1" in
        /*) echo "$1" ;;
        *) echo "$PWD/$1" ;;
    esac
}

# set_option NAME VALUE: what an option with a value means.
set_option() {
    case "$1" in
        -p | --path) build_path="$(absolute "$2")" ;;
        -t | --target) target="$2" ;;
        -i | --inference) inference="$2" ;;
        -s | --audio) audio="$2" ;;
        -T | --toolchain) toolchain="$2" ;;
        -n | --npu-id) npu_id="$2" ;;
        --npu-mac) npu_mac="$2" ;;
        --conn-stack) conn_stack="$2" ;;
        --psa-crypto-implementation) psa_crypto="$2" ;;
        -C | --certificate_path) certificate_path="$(absolute "$2")" ;;
        -P | --private_key_path) private_key_path="$(absolute "$2")" ;;
        *)
            echo "$name: unrecognized option '$1'" >&2
            exit 1
            ;;
    esac
}

needs_value() {
    if [ "$2" -lt 2 ]; then
        echo "$name: option '$1' requires an argument" >&2
        exit 1
    fi
}

# getopt's long options are GNU's alone, so the few forms that scripts use are read here: -x V, -xV, --long V, --long=V.
parse() {
    while [ $# -gt 0 ]; do
        case "$1" in
            -h | --help) usage; exit 0 ;;
            -c | --clean) clean=1; shift ;;
            --) shift; [ $# -eq 0 ] || application="${application:-$1}"; break ;;
            --*=*) set_option "${1%%=*}" "${1#*=}"; shift ;;
            --*) needs_value "$1" $#; set_option "$1" "$2"; shift 2 ;;
            -c?*) clean=1; set -- "-${1#-c}" "${@:2}" ;;
            -??*) set_option "${1:0:2}" "${1:2}"; shift ;;
            -?) needs_value "$1" $#; set_option "$1" "$2"; shift 2 ;;
            *) application="${application:-$1}"; shift ;;
        esac
    done
}

# one_of OPTION VALUE ALLOWED...
one_of() {
    local option="$1" value="$2" allowed
    shift 2
    for allowed in "$@"; do
        [ "$value" != "$allowed" ] || return 0
    done
    refuse "$option cannot be '$value'; it is one of: $*"
}

check() {
    # shellcheck disable=SC2046 # application names have no spaces
    one_of "the application" "$application" $(applications)
    one_of --inference "$inference" ETHOS SOFTWARE
    one_of --npu-id "$npu_id" U55 U65 U85 ""
    one_of --npu-mac "$npu_mac" 32 64 128 256 512 ""
    one_of --audio "$audio" ROM VSI
    one_of --target "$target" corstone300 corstone310 corstone315 corstone320
    one_of --toolchain "$toolchain" ARMCLANG GNU
    one_of --conn-stack "$conn_stack" FREERTOS_PLUS_TCP IOT_VSOCKET
    one_of --psa-crypto-implementation "$psa_crypto" TF-M MBEDTLS
    [ -f "$certificate_path" ] || refuse "--certificate_path must name a file that is there"
    [ -f "$private_key_path" ] || refuse "--private_key_path must name a file that is there"
    if [ "$application" = object-detection ]; then
        case "$target" in
            corstone315 | corstone320) ;;
            *) echo "$name: object-detection is built for corstone315 and corstone320 only" >&2; exit 2 ;;
        esac
    fi
    if ! command -v openssl >/dev/null; then
        echo "$name: openssl is not in PATH" >&2
        exit 1
    fi
}

# setting NAME: the value of a set(NAME "value") in the application's CMakeLists.txt.
setting() {
    local line value="" pattern="^set\\($1 +\"([^\"]*)\""
    while IFS= read -r line; do
        if [[ "$line" =~ $pattern ]]; then value="${BASH_REMATCH[1]}"; fi
    done <"$source_path/CMakeLists.txt"
    echo "$value"
}

sha256() {
    local shown
    shown="$(openssl dgst -sha256)"
    echo "${shown##*[= ]}"
}

# ---------------------------------------------------------------------------------------------- the signing key

make_key() {
    local type="${AWS_OTA_SIGNATURE_TYPE:-$(setting AWS_OTA_SIGNATURE_TYPE)}" options
    case "$type" in
        RSA-2048 | RSA-3072) options="-algorithm RSA -pkeyopt rsa_keygen_bits:${type#RSA-}" ;;
        EC-P256 | EC-P384) options="-algorithm EC -pkeyopt ec_paramgen_curve:P-${type#EC-P}" ;;
        *) echo "$name: AWS_OTA_SIGNATURE_TYPE cannot be '$type'" >&2; exit 2 ;;
    esac
    echo "Making the $type key pair that signs updates" >&2
    # shellcheck disable=SC2086 # options are words
    (umask 077 && openssl genpkey $options -out "$signing_key.$$" 2>/dev/null)
    mv "$signing_key.$$" "$signing_key"
}

# Kept for as long as it is there: devices in the field know its public half.
ensure_key() {
    mkdir -p "$root/certs"
    [ -f "$signing_key" ] || make_key
    openssl pkey -in "$signing_key" -pubout -out "$public_key.$$"
    if cmp -s "$public_key.$$" "$public_key"; then
        rm "$public_key.$$"
    else
        mv "$public_key.$$" "$public_key"
    fi
}

# PSS is what the reference firmware verifies, PKCS1 what older agents do.
padding_options() {
    local padding="${AWS_OTA_SIGNATURE_PADDING:-$(setting AWS_OTA_SIGNATURE_PADDING)}"
    case "${padding:-PSS}" in
        PSS) echo "-pkeyopt rsa_padding_mode:pss -pkeyopt rsa_mgf1_md:sha256" ;;
        PKCS1) echo "-pkeyopt rsa_padding_mode:pkcs1" ;;
        *) echo "$name: AWS_OTA_SIGNATURE_PADDING cannot be '$padding'" >&2; return 2 ;;
    esac
}

is_rsa() { openssl pkey -pubin -in "$public_key" -noout -text | grep '^Modulus' >/dev/null; }

# ------------------------------------------------------------------------------------------------------ the image

# le BYTES NUMBER: little endian.
le() {
    local count="$1" number="$2" text="" octal
    while [ "$count" -gt 0 ]; do
        printf -v octal '%03o' $((number % 256))
        text="$text\\$octal"
        number=$((number / 256))
        count=$((count - 1))
    done
    # shellcheck disable=SC2059 # the text is the escapes
    printf "$text"
}

# parse_version TEXT: sets major, minor, revision and build.
parse_version() {
    if [[ "$1" =~ ^([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,5})(\+([0-9]{1,9}))?$ ]]; then
        major=$((10#${BASH_REMATCH[1]}))
        minor=$((10#${BASH_REMATCH[2]}))
        revision=$((10#${BASH_REMATCH[3]}))
        build=$((10#${BASH_REMATCH[5]:-0}))
        if [ "$major" -le 255 ] && [ "$minor" -le 255 ] && [ "$revision" -le 65535 ]; then return; fi
    fi
    echo "$name: '$1' is no version (major.minor.revision+build); see $source_path/CMakeLists.txt" >&2
    exit 2
}

# mcuboot_header VERSION PAYLOAD_BYTES: struct image_header, then zeros up to 0x400.
mcuboot_header() {
    local major minor revision build
    parse_version "$1"
    le 4 $((0x96f3b83d))            # magic
    le 4 0                          # load address
    le 2 "$header_bytes"
    le 2 0                          # protected TLVs
    le 4 "$2"
    le 4 0                          # flags
    le 1 "$major"; le 1 "$minor"; le 2 "$revision"; le 4 "$build"
    le 4 0
    head -c $((header_bytes - 32)) /dev/zero
}

# filler SEED BYTES: the same bytes for the same seed, and nothing that compresses.
filler() {
    head -c "$2" /dev/zero | openssl enc -aes-256-ctr -K "$1" -iv 00000000000000000000000000000000
}

# make_image FILE BYTES VERSION SEED TEXT: header, text and filler, and a TLV area with their hash.
make_image() {
    local file="$1" payload_bytes=$(($2 - header_bytes - trailer_bytes)) version="$3" seed="$4" text="$5"
    {
        mcuboot_header "$version" "$payload_bytes"
        printf '%s' "$text"
        filler "$seed" $((payload_bytes - ${#text}))
    } >"$file.part"
    openssl dgst -sha256 -binary -out "$file.hash" "$file.part"
    # TLV area: magic, its whole length; one entry: type SHA-256, length 32.
    { le 2 $((0x6907)); le 2 "$trailer_bytes"; le 2 $((0x10)); le 2 32; cat "$file.hash"; } >>"$file.part"
    rm "$file.hash"
    mv "$file.part" "$file"
}

# sign IMAGE DIGEST SIGNATURE: SHA-256, for PSS openssl's own choice of salt, base64 in one line.
sign() {
    local image="$build_path/$1" digest="$build_path/$2.bin" signature="$build_path/$3"
    openssl dgst -sha256 -binary -out "$digest" "$image"
    # shellcheck disable=SC2086 # options are words
    openssl pkeyutl -sign -inkey "$signing_key" -pkeyopt digest:sha256 $padding -in "$digest" -out "$signature.bin"
    openssl base64 -A -in "$signature.bin" -out "$signature.part"
    mv "$signature.part" "$signature.txt"
    echo "Signature of $1:"
    cat "$signature.txt"
    echo
}

# ------------------------------------------------------------------------------------------------------ the build

has_model() { [ "$application" = keyword-detection ] && [ "$toolchain" = GNU ]; }

outputs() {
    echo "$build_path/$application-update_signed.bin"
    echo "$build_path/update-signature.txt"
    if has_model; then
        echo "$build_path/$application-model-update_signed.bin"
        echo "$build_path/model-update-signature.txt"
    fi
}

# Everything the image depends on. The signing key is in it too: with another one the image is signed anew.
inputs_hash() {
    {
        printf '%s\n' "$application" "$target" "$inference" "$npu_id" "$npu_mac" "$audio" "$toolchain" "$conn_stack" "$psa_crypto" "$padding"
        cat "$header_path" "$certificate_path" "$source_path/CMakeLists.txt" "$public_key"
    } | sha256
}

is_up_to_date() {
    local output input
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$1" ] || return 1
    while read -r output; do
        [ -s "$output" ] || return 1
        for input in "$header_path" "$certificate_path"; do
            if [ "$input" -nt "$output" ]; then return 1; fi
        done
    done < <(outputs)
}

remove_outputs() {
    # By name, not the whole folder: --path may name any.
    rm -f "$build_path"/*-update_signed.bin "$build_path"/*update-signature.* "$build_path"/*update-digest.bin \
        "$build_path"/inputs.sha256 "$build_path"/*.part "$build_path"/*.hash
}

build() {
    local hash seed text padding=""
    if is_rsa; then padding="$(padding_options)"; fi
    hash="$(inputs_hash)"
    if is_up_to_date "$hash"; then
        echo "$application is up to date"
        return
    fi
    rm -f "$stamp"
    echo "[1/3] Making $application-update_signed.bin for $target ($toolchain)"
    # The signing key is left out of the seed: the image stays the same when only the key changes.
    seed="$({ echo "$application $target $inference $npu_id $npu_mac $audio $toolchain $conn_stack $psa_crypto"
        cat "$header_path" "$certificate_path"; } | sha256)"
    text="$(grep -E '^#define clientcredential(MQTT_BROKER_ENDPOINT|IOT_THING_NAME)' "$header_path" || true)"
    make_image "$build_path/$application-update_signed.bin" "$image_bytes" \
        "$(setting MCUBOOT_IMAGE_VERSION_NS_UPDATE)" "$seed" "$text"
    if has_model; then
        echo "[2/3] Making $application-model-update_signed.bin"
        make_image "$build_path/$application-model-update_signed.bin" "$model_bytes" \
            "$(setting MCUBOOT_IMAGE_VERSION_NS_ML_MODEL_UPDATE)" "$(echo "model $target $inference" | sha256)" ""
    fi
    echo "[3/3] Signing with $signing_key"
    sign "$application-update_signed.bin" update-digest update-signature
    if has_model; then
        sign "$application-model-update_signed.bin" model-update-digest model-update-signature
    fi
    echo "$hash" >"$stamp"
}

if [ $# -eq 0 ]; then
    usage >&2
    exit 1
fi
parse "$@"
check

source_path="$root/applications/$(echo "$application" | tr '-' '_')"
header_path="$source_path/configs/aws_configs/aws_clientcredential.h"
signing_key="$root/certs/private_key.pem"
public_key="$root/certs/public_key.pem"
stamp="$build_path/inputs.sha256"

trap 'rm -f "$signing_key.$$" "$public_key.$$"' EXIT
mkdir -p "$build_path"
if [ "$clean" -ne 0 ]; then
    echo "Building $application from clean" >&2
    remove_outputs
else
    echo "Building $application" >&2
fi
ensure_key
build
