"""MNIST and Fashion-MNIST: 70,000 images of 28 x 28 pixels each, in four idx files."""

from __future__ import annotations

from .fetch import RemoteFile, fetch
from .idx import read_idx
from .images import ImageData

FILES = {
    "train_images": "train-images-idx3-ubyte.gz",
    "train_labels": "train-labels-idx1-ubyte.gz",
    "test_images": "t10k-images-idx3-ubyte.gz",
    "test_labels": "t10k-labels-idx1-ubyte.gz",
}
MNIST_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
MNIST_SHA256 = {
    "train_images": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train_labels": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "test_images": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "test_labels": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
FASHION_MIRRORS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
)
FASHION_SHA256 = {
    "train_images": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train_labels": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "test_images": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "test_labels": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}


def load_mnist() -> ImageData:
    """Load MNIST, 70,000 handwritten digits: 60,000 to train, 10,000 to test.

    Each of the four files is looked for in ``$TINYGRAD_ADAM_DATA/mnist`` and in the user's cache, and
    downloaded to the cache otherwise (11.6 MB in all; needs the extra ``cli``). Its SHA-256 is checked every
    time.

    Returns
    -------
    ImageData

    Raises
    ------
    DataError
        If a file cannot be found, fetched or trusted.

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio & P. Haffner (1998), Gradient-based learning applied to document
    recognition, Proceedings of the IEEE 86(11). Licensed under CC BY-SA 3.0.
    """
    return _load(
        "mnist",
        MNIST_SHA256,
        MNIST_MIRRORS,
        classes=tuple("0123456789"),
        credit="Y. LeCun, C. Cortes & C. J. C. Burges, The MNIST database of handwritten digits",
        license="CC BY-SA 3.0",
    )


def load_fashion_mnist() -> ImageData:
    """Load Fashion-MNIST, 70,000 pictures of clothes: 60,000 to train, 10,000 to test.

    Each of the four files is looked for in ``$TINYGRAD_ADAM_DATA/fashion-mnist`` and in the user's cache, and
    downloaded to the cache otherwise (30.9 MB in all; needs the extra ``cli``). Its SHA-256 is checked every
    time.

    Returns
    -------
    ImageData

    Raises
    ------
    DataError
        If a file cannot be found, fetched or trusted.

    References
    ----------
    H. Xiao, K. Rasul & R. Vollgraf (2017), Fashion-MNIST: a novel image dataset for benchmarking machine
    learning algorithms, arXiv:1708.07747. Licensed under MIT.
    """
    return _load(
        "fashion-mnist",
        FASHION_SHA256,
        FASHION_MIRRORS,
        classes=(
            "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
            "Ankle boot",
        ),
        credit=(
            "H. Xiao, K. Rasul & R. Vollgraf (2017), Fashion-MNIST: a novel image dataset for benchmarking "
            "machine learning algorithms, arXiv:1708.07747"
        ),
        license="MIT",
    )  # fmt: skip


def _load(
    name: str,
    checksums: dict[str, str],
    mirrors: tuple[str, ...],
    classes: tuple[str, ...],
    credit: str,
    license: str,
) -> ImageData:
    arrays = {
        part: read_idx(fetch(RemoteFile(name, file, checksums[part], mirrors)))
        for part, file in FILES.items()
    }
    return ImageData(name, **arrays, classes=classes, scale=255.0, credit=credit, license=license)
