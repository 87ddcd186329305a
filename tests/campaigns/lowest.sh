#!/usr/bin/env bash
# Do the lower bounds of pyproject.toml hold? Installs the oldest versions that they allow, in an
# environment of their own, and runs the quickstart there, shortened, and what people do after it.
#
#   tests/campaigns/lowest.sh FOLDER      (FOLDER keeps the environment and what was written)
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$1" && cd "$1"
uv=${UV:-uv}
environment=$PWD/oldest

"$uv" venv --quiet --allow-existing --python "${PYTHON:-3.11}" "$environment"
# A dependency's own dependencies are the newest ones: they are not ours to bound.
"$uv" pip install --quiet --python "$environment/bin/python" --resolution lowest-direct \
    --reinstall-package radenhance --refresh-package radenhance "radenhance[demo,onnx] @ $root"
"$uv" pip freeze --python "$environment/bin/python" > versions.txt

radenhance() {
    echo "== radenhance $*"
    "$environment/bin/radenhance" "$@"
}
short=(--trainer.max_epochs=1 --trainer.limit_train_batches=2 --trainer.enable_progress_bar=false)
rm -rf dataset clinic data lightning_logs enhanced int8.onnx contact_sheet.png
radenhance synthesize dataset --cats 3 --dogs 3 --turtles 1
radenhance check dataset
radenhance prepare dataset/raw clinic
radenhance plan --config quickstart.yaml --sizes 192 --gpu-memory 8GiB
radenhance fit --config quickstart.yaml --data.root dataset "${short[@]}"
radenhance fit --config quickstart.yaml --data.root dataset --ckpt_path last "${short[@]}" \
    --trainer.max_epochs=2
radenhance validate --data.root dataset --trainer.enable_progress_bar=false
radenhance predict --data.predict_from dataset/raw --output.folder enhanced
radenhance showcase --root dataset
radenhance dashboard --help > /dev/null
radenhance fit --config quickstart.yaml --model.memory.quantization qat --data.root dataset "${short[@]}"
radenhance quantize --root dataset
test -s int8.onnx -a -s contact_sheet.png && ls enhanced/* > /dev/null
echo "the lower bounds hold: $(grep -c == versions.txt) packages, listed in $PWD/versions.txt"
