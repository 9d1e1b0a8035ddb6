from dataclasses import replace

from edge.domain.configuration import readers_silence_max_s, silence_max_s, site_file_configuration
from fakes.configure_world import make_device


def test_a_device_that_is_told_to_be_slower_may_be_silent_for_longer() -> None:
    device = make_device()
    site = site_file_configuration(device)
    for silence_s in (silence_max_s, readers_silence_max_s):
        assert silence_s(device, replace(site, poll_interval_s=100.0)) == 600.0
        assert silence_s(device, replace(site, poll_interval_s=1.0)) == 60.0


def test_readers_miss_no_device_before_the_heartbeat_of_its_points() -> None:
    device = make_device()
    site = site_file_configuration(device)
    quiet = {key: replace(point, deadband=0.5, max_silence_s=900.0) for key, point in site.points.items()}
    assert readers_silence_max_s(device, replace(site, points=quiet)) == 920.0
    assert silence_max_s(device, replace(site, points=quiet)) == 60.0


def test_a_device_that_speaks_when_it_likes_knows_no_poll_interval() -> None:
    device = make_device(is_polled=False)
    site = site_file_configuration(device)
    assert silence_max_s(device, replace(site, poll_interval_s=100.0)) == 60.0
    quiet = {key: replace(point, deadband=0.5, max_silence_s=900.0) for key, point in site.points.items()}
    assert readers_silence_max_s(device, replace(site, points=quiet)) == 960.0
