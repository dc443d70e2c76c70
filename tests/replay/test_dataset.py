import pytest
import torch
from torch.utils.data import DataLoader

from rlmaster.errors import RunFolderError
from rlmaster.replay.dataset import FrameDataset

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


def upside_down(frame):
    return frame.flip(-2)


def test_a_frame_is_float_between_0_and_1_in_the_order_of_its_episodes(filled_store):
    store = filled_store([[3], [4]], 20)
    dataset = FrameDataset(store)
    assert len(dataset) == 40
    indices = store.frame_indices(store.episodes())
    for position in (0, 7, 39):
        frame = dataset[position]
        assert frame.dtype == torch.float32
        assert frame.shape == (1, 2, 3)
        assert torch.equal(frame, store.frames_at(indices[[position]])[0] / 255)


def test_positions_count_from_the_end_as_in_a_list(filled_store):
    dataset = FrameDataset(filled_store([[3], [4]], 20))
    assert torch.equal(dataset[-1], dataset[39])
    assert torch.equal(dataset[-40], dataset[0])
    for beyond in (40, -41):
        with pytest.raises(IndexError):
            dataset[beyond]


def test_it_can_be_limited_to_some_episodes_and_transformed(filled_store):
    store = filled_store([[3], [4]], 20)
    _, held_out = store.split_episodes(0.2, 1)
    dataset = FrameDataset(store, held_out, transform=upside_down)
    assert len(dataset) == sum(map(len, held_out))
    assert torch.equal(dataset[0], FrameDataset(store, held_out)[0].flip(-2))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_shuffling_loader_gives_every_frame_once(filled_store, workers):
    dataset = FrameDataset(filled_store([[3], [4]], 20), transform=upside_down)
    loader = DataLoader(dataset, batch_size=16, shuffle=True, num_workers=workers)
    seen = torch.cat(list(loader))
    expected = torch.stack([dataset[position] for position in range(40)])
    assert not torch.equal(seen, expected)
    assert sorted(seen.flatten(1).tolist()) == sorted(expected.flatten(1).tolist())


def test_it_opens_a_run_folder(filled_store, tmp_path):
    store = filled_store([[3], [4]], 20)
    store.save(tmp_path / "replay")
    dataset = FrameDataset.from_run(tmp_path)
    assert torch.equal(dataset[5], FrameDataset(store)[5])
    with pytest.raises(RunFolderError, match="no whole replay"):
        FrameDataset.from_run(tmp_path / "other")
