"""The ResNet family for large images in PyTorch, written from the papers' tables: torchvision is not needed, its parameter names are kept."""
import torch.nn as nn
import torch.nn.functional as F

BLOCKS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def shortcut(inputs, outputs, stride):
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class Basic(nn.Module):
    """Two 3x3 convolutions."""

    def __init__(self, inputs, planes, stride, groups, width):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = shortcut(inputs, planes, stride)
        self.norms = [self.bn1, self.bn2]  # each before a ReLU, the last one behind the addition
        self.outputs = planes

    def forward(self, x):
        h = F.relu(self.bn1(self.conv1(x)))
        h = self.bn2(self.conv2(h))
        return F.relu(h + self.skip(x))

    def skip(self, x):
        return x if self.downsample is None else self.downsample(x)


class Bottleneck(nn.Module):
    """1x1, 3x3 with the stride, 1x1 to four times the channels."""

    def __init__(self, inputs, planes, stride, groups, width):
        super().__init__()
        inner = int(planes * (width / 64.0)) * groups
        self.conv1 = nn.Conv2d(inputs, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, 1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, 4 * planes, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * planes)
        self.downsample = shortcut(inputs, 4 * planes, stride)
        self.norms = [self.bn1, self.bn2, self.bn3]
        self.outputs = 4 * planes

    def forward(self, x):
        h = F.relu(self.bn1(self.conv1(x)))
        h = F.relu(self.bn2(self.conv2(h)))
        h = self.bn3(self.conv3(h))
        return F.relu(h + self.skip(x))

    def skip(self, x):
        return x if self.downsample is None else self.downsample(x)


class ResNet(nn.Module):
    def __init__(self, depth, classes, planes=64, groups=1, width=64):
        super().__init__()
        self.conv1 = nn.Conv2d(3, planes, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        inputs = planes
        for stage, count in enumerate(BLOCKS[depth]):
            blocks = []
            for i in range(count):
                kind = Basic if depth < 50 else Bottleneck
                blocks.append(kind(inputs, planes * 2**stage, 2 if stage and i == 0 else 1, groups, width))
                inputs = blocks[-1].outputs
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(inputs, classes)

    def blocks(self):
        return [b for stage in (self.layer1, self.layer2, self.layer3, self.layer4) for b in stage]

    def stem(self, x):
        return F.relu(self.bn1(self.conv1(x)))

    def forward(self, x):
        h = F.max_pool2d(self.stem(x), 3, 2, 1)
        for block in self.blocks():
            h = block(h)
        feature = h.mean(dim=(2, 3))
        return feature, self.fc(feature)
