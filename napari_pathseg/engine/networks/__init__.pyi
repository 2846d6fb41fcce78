from .build import build_network as build_network
from .network import Network as Network
