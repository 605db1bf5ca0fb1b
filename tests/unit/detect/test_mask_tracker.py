"""SAM 2's video predictor follows a box; a small network with random weights stands for it."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from vodkit.detect.mask_tracker import MaskTracker
from vodkit.ground.errors import InputError, VodkitError
from vodkit.review.worker import followed_by_mask
from vodkit.video.reader import open_video

pytestmark = pytest.mark.slow
COUNT = 45


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    trunk = {"model_type": "sam2_hiera_det_model", "hidden_size": 8, "num_attention_heads": 1,
             "image_size": [64, 64], "embed_dim_per_stage": [8, 16, 32, 64],
             "num_attention_heads_per_stage": [1, 2, 4, 8], "blocks_per_stage": [1, 1, 2, 1],
             "global_attention_blocks": [3], "window_size_per_stage": [8, 4, 8, 4],
             "window_positional_embedding_background_size": [4, 4]}  # fmt: skip
    vision = {"backbone_config": trunk, "backbone_channel_list": [64, 32, 16, 8],
              "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]], "fpn_hidden_size": 128,
              "num_feature_levels": 3}  # fmt: skip
    config = transformers.Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": 128, "image_size": 64},
        mask_decoder_config={"hidden_size": 128, "mlp_dim": 16, "num_attention_heads": 2,
                             "iou_head_hidden_dim": 16},
        image_size=64, memory_attention_hidden_size=128,
        memory_attention_feed_forward_hidden_size=16, memory_attention_num_layers=1,
        memory_attention_num_attention_heads=1, memory_attention_rope_feat_sizes=[4, 4],
        memory_encoder_hidden_size=128, memory_encoder_output_channels=64,
        mask_downsampler_embed_dim=128, memory_fuser_num_layers=1, memory_fuser_embed_dim=128,
        memory_fuser_intermediate_dim=16,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("sam2")
    size = {"size": {"height": 64, "width": 64}, "mask_size": {"height": 16, "width": 16}}
    transformers.Sam2VideoModel(config).save_pretrained(folder)
    transformers.Sam2VideoProcessor(
        transformers.Sam2ImageProcessor(**size), transformers.Sam2VideoVideoProcessor(**size)
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("walk")
    rng = np.random.default_rng(0)
    for index in range(COUNT):
        image = rng.integers(0, 90, (60, 90, 3), dtype=np.uint8)
        image[20:40, index : index + 20] = 230
        cv2.imwrite(str(folder / f"{index:03d}.png"), image)
    return folder


def test_every_frame_equals_what_the_library_gives_for_it(weights: Path, walk: Path) -> None:
    """Against transformers' own session, which keeps every frame in memory."""
    import torch
    import transformers

    processor = transformers.Sam2VideoProcessor.from_pretrained(weights)
    network = transformers.Sam2VideoModel.from_pretrained(weights).eval()
    session = processor.init_video_session()
    tracker, box = MaskTracker(weights), np.array([3.0, 20, 23, 40])
    with open_video(walk) as video, torch.inference_mode():
        frames = list(video.frames(start=3))
        found = list(tracker.follow(frames, box))
        for number, frame in enumerate(frames):
            given = processor(images=frame.image, return_tensors="pt")
            if number == 0:
                processor.add_inputs_to_inference_session(
                    session, frame_idx=0, obj_ids=1, input_boxes=[[box.tolist()]],
                    original_size=given.original_sizes[0],
                )  # fmt: skip
            out = network(inference_session=session, frame=given.pixel_values[0])
            score = float(torch.sigmoid(out.object_score_logits.flatten()[0]))
            assert found[number].index == frame.index == number + 3
            assert found[number].score == pytest.approx(score, abs=1e-6)


def test_following_gives_knots_of_the_frames_from_the_drawn_one_on(
    weights: Path, walk: Path
) -> None:
    tracker = MaskTracker(weights)
    rows, why = followed_by_mask(tracker, str(walk), 5, np.array([5.0, 20, 25, 40]))
    assert why in {"end of the video", "lost"}
    assert all(5 <= row[0] < COUNT for row in rows)
    assert [row[0] for row in rows] == sorted({row[0] for row in rows})
    for row in rows:
        assert 0 <= row[1] < row[3] <= 90
        assert 0 <= row[2] < row[4] <= 60


def test_other_folders_are_refused_with_what_they_lack(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no config\.json"):
        MaskTracker(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "detr"}))
    with pytest.raises(InputError, match="sam2_video"):
        MaskTracker(tmp_path)
    (tmp_path / "config.json").write_text((weights / "config.json").read_text())
    with pytest.raises(VodkitError, match="cannot be loaded"):
        MaskTracker(tmp_path)
