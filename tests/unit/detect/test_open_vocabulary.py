"""Detectors for words: tiny models of transformers' own, offline; download from loopback."""

import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from vodkit.cli.main import main
from vodkit.detect import open_vocabulary
from vodkit.detect.hf_family import quiet
from vodkit.detect.open_models import OPEN, parse_prompts
from vodkit.detect.open_vocabulary import OPTIONAL, REQUIRED, load_prompted
from vodkit.ground.errors import SettingsError, WeightsError
from vodkit.ground.records import Frame
from vodkit.infer.flow import make_detector
from vodkit.infer.settings import InferSettings
from vodkit.samples.samples import CLIP_B

transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")
tokenizers = pytest.importorskip("tokenizers")

WORDS = ["a", "red", "cup", "dog", "big", "cat"]
PROMPTS = ("a red cup=cup", "dog")
KINDS = ("owlv2", "grounding-dino")


def write_tokenizer(folder: Path, *, bert: bool) -> None:
    """Words as tokens; BERT's numbers of special tokens are those that Grounding DINO knows."""
    special = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, ".": 1012, "?": 1029}
    numbers = special | {word: 200 + k for k, word in enumerate(WORDS)}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(numbers, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    pair = [("[CLS]", 101), ("[SEP]", 102)]
    made.post_processor = tokenizers.processors.TemplateProcessing("[CLS] $A [SEP]", None, pair)
    names = ["input_ids", "attention_mask"] + ["token_type_ids"] * bert
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", model_input_names=names,
    ).save_pretrained(folder)  # fmt: skip


def owl() -> "tuple[object, object]":
    text = {"vocab_size": 1100, "hidden_size": 16, "intermediate_size": 32,
            "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 16,
            "eos_token_id": 102, "bos_token_id": 101}  # fmt: skip
    vision = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
              "num_attention_heads": 2, "image_size": 64, "patch_size": 16}  # fmt: skip
    config = transformers.Owlv2Config(text_config=text, vision_config=vision, projection_dim=16)
    pictures = transformers.Owlv2ImageProcessor(size={"height": 64, "width": 64})
    return transformers.Owlv2ForObjectDetection(config), pictures


def dino() -> "tuple[object, object]":
    backbone = {"model_type": "swin", "image_size": 64, "patch_size": 4, "embed_dim": 8,
                "depths": [1, 1, 1, 1], "num_heads": [1, 1, 1, 1], "window_size": 2,
                "out_features": ["stage2", "stage3", "stage4"]}  # fmt: skip
    text = {"model_type": "bert", "vocab_size": 1100, "hidden_size": 16, "intermediate_size": 32,
            "num_hidden_layers": 1, "num_attention_heads": 2}  # fmt: skip
    config = transformers.GroundingDinoConfig(
        backbone_config=backbone, text_config=text, num_queries=12, encoder_layers=1,
        decoder_layers=2, encoder_ffn_dim=16, decoder_ffn_dim=16, d_model=32,
        encoder_attention_heads=2, decoder_attention_heads=2, max_text_len=32,
    )  # fmt: skip
    size = {"shortest_edge": 64, "longest_edge": 96}
    pictures = transformers.GroundingDinoImageProcessor(size=size)
    return transformers.GroundingDinoForObjectDetection(config), pictures


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny random models as hub folders."""
    found = {}
    for kind, make in zip(KINDS, (owl, dino), strict=True):
        torch.manual_seed(0)
        folder = tmp_path_factory.mktemp("hub") / f"tiny-{kind}"
        with quiet():
            model, pictures = make()
            model.save_pretrained(folder)
            pictures.save_pretrained(folder)
            write_tokenizer(folder, bert=kind == "grounding-dino")
        found[kind] = folder
    return found


def frame() -> Frame:
    image = np.random.default_rng(0).integers(0, 255, (60, 90, 3)).astype(np.uint8)
    return Frame(index=0, time_s=0.0, image=image)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_boxes_and_classes_are_those_of_transformers(folders: dict[str, Path], kind: str) -> None:
    detector = load_prompted(str(folders[kind]), PROMPTS, device="cpu")
    assert detector.classes == ("cup", "dog")
    (found,) = detector.detect([frame()])
    assert len(found)
    with quiet(), torch.inference_mode():
        pictures = transformers.AutoImageProcessor.from_pretrained(folders[kind])
        tokens = transformers.AutoTokenizer.from_pretrained(folders[kind])
        model = detector._model
        given = pictures(images=[frame().image], return_tensors="pt")
        texts = ["a red cup", "dog"] if kind == "owlv2" else "a red cup. dog."
        more = {"padding": "max_length", "max_length": 16} if kind == "owlv2" else {}
        text = tokens(texts, return_tensors="pt", **more)
        if kind == "owlv2":
            text.pop("token_type_ids", None)
        out = model(**given, **text)
        if kind == "owlv2":
            (wanted,) = pictures.post_process_object_detection(
                out, threshold=0.0, target_sizes=[(60, 90)]
            )
            boxes, scores, labels = (wanted[name] for name in ("boxes", "scores", "labels"))
        else:  # [CLS] a red cup . dog . [SEP]
            each = torch.sigmoid(out.logits[0])
            both = torch.stack([each[:, 1:4].amax(1), each[:, 5]], dim=1)
            scores, labels = both.max(dim=1)
            x, y, w, h = (out.pred_boxes[0] * torch.tensor([90.0, 60, 90, 60])).unbind(1)
            boxes = torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], dim=1)
    for box, score, label in zip(found.boxes_xyxy, found.scores, found.labels, strict=True):
        at = int((scores - float(score)).abs().argmin())
        assert scores[at] == pytest.approx(float(score), abs=1e-5)
        assert int(labels[at]) == label
        corners = boxes[at].numpy().clip(0, [90, 60, 90, 60])
        np.testing.assert_allclose(box, corners, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_words_of_one_class_share_it_and_settings_choose_the_threshold(
    folders: dict[str, Path], kind: str
) -> None:
    texts = ("a red cup=thing", "dog=thing", "big cat")
    wanted = InferSettings(model=str(folders[kind]), prompts=texts, max_detections=3)
    assert wanted.score_threshold == {"owlv2": 0.1, "grounding-dino": 0.25}[kind]
    detector = make_detector(wanted)
    assert detector.classes == ("thing", "big cat")
    assert detector.card.architecture["prompts"] == ["a red cup", "dog", "big cat"]
    (found,) = detector.detect([frame()])
    assert len(found) <= 3
    assert (found.scores >= wanted.score_threshold).all()


def test_prompts_alone_choose_a_model_and_keep_a_threshold_that_is_given() -> None:
    wanted = InferSettings(prompts=("dog",), score_threshold=0.3)
    assert (wanted.model, wanted.score_threshold) == ("owlv2-base", 0.3)
    assert InferSettings().model == "vodkit-street"


@pytest.mark.parametrize("text", ["", "=cup", "a cup=", "one. two", "   "])
def test_prompts_without_words_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="prompt "):
        parse_prompts([text])


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "message"), [("owlv2", "up to 16"), ("grounding-dino", "32")])
def test_a_prompt_is_never_cut_off(folders: dict[str, Path], kind: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load_prompted(str(folders[kind]), [" ".join(WORDS * 6)], device="cpu")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--prompt", "dog", "-m", "yolox_nano"], "--prompt needs a model that takes words"),
        (["-m", "owlv2-base"], "owlv2-base detects what words describe; give --prompt"),
        (
            ["--prompt", "dog", "-m", "grounding"],
            "allowed: owlv2-base, owlv2-large, ground",
        ),
        (["--prompt", "dog", "--runtime", "onnx", "-m", "FOLDER"], "prompts run in torch"),
    ],
)
def test_what_does_not_go_together_is_refused(
    folders: dict[str, Path], words: list[str], message: str, tmp_path: Path, capsys
) -> None:
    folder = str(folders["owlv2"])
    given = [folder if word == "FOLDER" else word for word in words]
    with pytest.raises(SystemExit) as left:
        main(["track", str(CLIP_B), "-o", str(tmp_path), *given])
    error = capsys.readouterr().err
    assert left.value.code == 2
    assert message in error


def test_a_class_that_a_model_lacks_leads_to_prompts(tmp_path: Path, capsys) -> None:
    with pytest.raises(SystemExit):
        main(["track", str(CLIP_B), "--classes", "zebra", "-o", str(tmp_path)])
    assert "for any other class: --prompt 'a zebra=zebra'" in capsys.readouterr().err


@pytest.fixture
def hub(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The tiny OWLv2 model on a server, as if it were on the hub; an empty cache."""
    handler = partial(_Quiet, directory=str(folders["owlv2"]))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setattr(open_vocabulary, "_HUB", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setenv("VODKIT_CACHE", str(tmp_path / "cache"))
    yield str(tmp_path / "cache" / "weights" / "owlv2-base")
    server.shutdown()
    server.server_close()
    thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *words: object) -> None:
        pass


@pytest.mark.slow
def test_a_published_model_is_fetched_once_and_then_runs_offline(
    hub: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = load_prompted("owlv2-base", PROMPTS, device="cpu")
    assert (detector.card.name, detector.card.licence) == ("owlv2-base", "Apache-2.0")
    there = {path.name for path in Path(hub).iterdir()}
    assert set(REQUIRED) <= there
    assert not (there - set(REQUIRED) - set(OPTIONAL)) - {f"{one}.sha256" for one in there}
    monkeypatch.setattr(open_vocabulary, "_HUB", "http://127.0.0.1:1/")
    again = load_prompted("owlv2-base", PROMPTS, device="cpu")
    assert again.card.sha256 == detector.card.sha256
    weights = Path(hub) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(WeightsError, match="corrupt"):
        load_prompted("owlv2-base", PROMPTS, device="cpu")


@pytest.mark.slow
def test_a_model_that_cannot_be_fetched_says_what_to_put_where(
    hub: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_vocabulary, "_HUB", "http://127.0.0.1:1/")
    with pytest.raises(
        WeightsError, match=r"cannot be downloaded .*download http.* and save it as .*owlv2"
    ):
        load_prompted("owlv2-base", PROMPTS, device="cpu")


def test_every_published_model_has_a_permissive_licence_and_a_known_form() -> None:
    for name, model in OPEN.items():
        assert model.licence == "Apache-2.0"
        assert any(name.startswith(begin) for begin in KINDS)


@pytest.mark.slow
def test_prelabel_makes_labels_of_words(folders: dict[str, Path], tmp_path: Path, capsys) -> None:
    from vodkit.samples.samples import CLIP_B

    out = tmp_path / "labels.json"
    words = ["--prompt", "a red cup=cup", "-m", str(folders["owlv2"]), "--every", "40"]
    more = ["--shortest", "1", "-f", "cocovid", "--score-threshold", "0.01", "-t", "sort"]
    with pytest.raises(SystemExit) as left:
        main(["data", "prelabel", str(CLIP_B), "-o", str(out), *words, *more])
    assert left.value.code == 0, capsys.readouterr().err
    labels = json.loads(out.read_text())
    assert [one["name"] for one in labels["categories"]] == ["cup"]
